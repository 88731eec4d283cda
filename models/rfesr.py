"""RFESR by team imglhl: residual blocks within residual blocks, each with learned weights for both sides.

New: both sides of each skip connection are weighted by learned numbers. A block fuses its units from the last to the
first, two at a time with interleaved channels, by one shared convolution. Its spatial attention views the pooled
features with and without dilation, and its sigmoid is piecewise linear. The convolutions at full resolution are
weight-normalised.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esr.models.blocks.attention import ESA, pooled_context
from esr.models.blocks.branches import Residual, Summed
from esr.models.blocks.containers import named, numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import chain, interleave
from esr.models.blocks.inplace import add_product, rescale
from esr.models.blocks.trunk import ConvTrunk
from esr.models.blocks.weight_norm import WeightNormConv2d


class WeightedResidual(nn.Module):
    """A module and its input, added with a learned weight each; the module returns a fresh tensor."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.inner_weight = nn.Parameter(torch.ones(1))
        self.skip_weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W -> the same shape."""
        return add_product(rescale(self.inner(x), self.inner_weight), x, self.skip_weight)


class DilatedESA(ESA):
    """Spatial attention that views the pooled features twice, once with dilation.

    Two convolutions never run but count among the published parameters.
    """

    def __init__(self, channels: int, squeezed_channels: int) -> None:
        views = [
            nn.Sequential(
                conv(squeezed_channels, squeezed_channels, dilation=dilation),
                nn.LeakyReLU(0.05, inplace=True),
            )
            for dilation in (1, 2)
        ]
        context = pooled_context(squeezed_channels, refine=Summed(*views))
        super().__init__(channels, squeezed_channels, context=context, project_skip=False)
        self.unused = named(
            conv1=conv(squeezed_channels, squeezed_channels, 1),
            conv2=conv(squeezed_channels, squeezed_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        return rescale(F.hardsigmoid(self.logits(x), inplace=True), x)


def unit(channels: int, attention_channels: int) -> WeightedResidual:
    """Two convolutions and attention: N×channels×H×W -> the same shape."""
    return WeightedResidual(
        named(
            conv1=WeightNormConv2d(channels, channels),
            activation=nn.LeakyReLU(0.01, inplace=True),
            conv2=WeightNormConv2d(channels, channels),
            attention=DilatedESA(channels, attention_channels),
        )
    )


class BackwardReduction(nn.Module):
    """Units in a chain, the inner ones with another skip connection, fused from the last to the first."""

    def __init__(self, channels: int, attention_channels: int, num_units: int) -> None:
        super().__init__()
        first, *inner, last = (unit(channels, attention_channels) for _ in range(num_units))
        self.units = numbered([first, *map(Residual, inner), last])
        self.reduce = WeightNormConv2d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        *earlier, fused = chain(self.units, x)
        while earlier:
            fused = interleave([fused, earlier.pop()])
            fused = self.reduce(fused)
        return fused


class RFESR(ConvTrunk):
    """Images in the range 0 to 255.

    A fusion of all blocks never runs but counts among the published parameters.

    Args:
        channels: number of channels of the features between the blocks.
        attention_channels: number of channels within the spatial attention.
        num_blocks: number of blocks.
        num_units: number of units per block, at least two.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        channels: int = 32,
        attention_channels: int = 8,
        num_blocks: int = 4,
        num_units: int = 4,
        scale: int = 4,
    ) -> None:
        super().__init__(
            numbered(
                WeightedResidual(BackwardReduction(channels, attention_channels, num_units)) for _ in range(num_blocks)
            ),
            channels=channels,
            scale=scale,
        )
        self.unused = conv(num_blocks * channels, channels, 1)
