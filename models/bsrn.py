"""BSRN by team XPixel: the fewest parameters of all ranked networks.

New: RFDN with blueprint separable 3×3 convolutions (a fully connected layer over the channels and one small filter per
channel), learned channel factors after enhanced spatial attention, and an image that enters four times.

Li et al., "Blueprint Separable Residual Network for Efficient Image Super-Resolution", CVPR workshops 2022,
arXiv:2205.05996.
"""

import torch
from torch import Tensor, nn

from esr.models.blocks.attention import ESA, pooled_context
from esr.models.blocks.branches import Residual
from esr.models.blocks.containers import named, numbered
from esr.models.blocks.distillation import FeatureDistillation
from esr.models.blocks.inplace import rescale
from esr.models.blocks.separable import BlueprintSeparable, PointwiseLinear
from esr.models.blocks.trunk import FusedTrunk
from esr.models.blocks.upsampling import pixel_shuffle_tail

STEPS = 3
COPIES = 4


class RepeatedImage(nn.Module):
    """Copies of the image along the channels."""

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W -> N×3·COPIES×H×W."""
        return torch.cat(COPIES * [x], dim=1)


class LearnedFactors(nn.Module):
    """A learned factor for each channel; overwrites its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, channels))

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        return rescale(x, self.weight.view(1, -1, 1, 1))


class ESDB(FeatureDistillation):
    """Efficient separable distillation block: RFDN's steps, then attention."""

    def __init__(self, channels: int, distilled_channels: int, attention_channels: int) -> None:
        context = pooled_context(attention_channels, activation=nn.GELU, layer=BlueprintSeparable)
        super().__init__(
            distill=[PointwiseLinear(channels, distilled_channels) for _ in range(STEPS)],
            refine=[BlueprintSeparable(channels, channels) for _ in range(STEPS)],
            last=BlueprintSeparable(channels, distilled_channels),
            fuse=PointwiseLinear((STEPS + 1) * distilled_channels, channels),
            attention=named(
                spatial=ESA(channels, attention_channels, context=context, pointwise=PointwiseLinear),
                factors=LearnedFactors(channels),
                mix=PointwiseLinear(channels, channels),
            ),
            activation=nn.GELU(),
        )


class BSRN(FusedTrunk):
    """Images in the range 0 to 1.

    Args:
        channels: number of channels of the features between the blocks.
        distilled_channels: number of channels that each step of a block distils.
        attention_channels: number of channels within the spatial attention.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        channels: int = 48,
        distilled_channels: int = 24,
        attention_channels: int = 12,
        num_blocks: int = 5,
        scale: int = 4,
    ) -> None:
        super().__init__(
            head=named(repeat=RepeatedImage(), conv=BlueprintSeparable(3 * COPIES, channels)),
            blocks=numbered(
                Residual(ESDB(channels, distilled_channels, attention_channels)) for _ in range(num_blocks)
            ),
            fuse=nn.Sequential(PointwiseLinear(num_blocks * channels, channels), nn.GELU()),
            after_blocks=BlueprintSeparable(channels, channels),
            upsampler=pixel_shuffle_tail(channels, scale),
        )
