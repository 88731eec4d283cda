"""BSRN by team XPixel: the fewest parameters of all ranked networks.

New in it: RFDN whose 3×3 convolutions are blueprint separable, each a fully connected layer over the channels
and one small filter a channel; learned factors for the channels after enhanced spatial attention; the image
enters four times over.

Li et al., "Blueprint Separable Residual Network for Efficient Image Super-Resolution", CVPR workshops 2022,
arXiv:2205.05996. 27th in the main track, 1st and 8th in the sub-tracks.
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
    """The image several times over, along the channels."""

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
    """An efficient separable distillation block: RFDN's steps, then attention."""

    def __init__(self, channels: int, distilled: int, attention: int) -> None:
        context = pooled_context(attention, activation=nn.GELU, layer=BlueprintSeparable)
        super().__init__(
            distill=[PointwiseLinear(channels, distilled) for _ in range(STEPS)],
            refine=[BlueprintSeparable(channels, channels) for _ in range(STEPS)],
            last=BlueprintSeparable(channels, distilled),
            fuse=PointwiseLinear((STEPS + 1) * distilled, channels),
            attention=named(
                spatial=ESA(channels, attention, context=context, pointwise=PointwiseLinear),
                factors=LearnedFactors(channels),
                mix=PointwiseLinear(channels, channels),
            ),
            activation=nn.GELU(),
        )


class BSRN(FusedTrunk):
    """Images in the range 0 to 1.

    Args:
        channels: of the features between the blocks.
        distilled: channels that each step of a block distils.
        attention: channels within the spatial attention.
        blocks: how many.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        channels: int = 48,
        distilled: int = 24,
        attention: int = 12,
        blocks: int = 5,
        scale: int = 4,
    ) -> None:
        super().__init__(
            head=named(repeat=RepeatedImage(), conv=BlueprintSeparable(3 * COPIES, channels)),
            blocks=numbered(Residual(ESDB(channels, distilled, attention)) for _ in range(blocks)),
            fuse=nn.Sequential(PointwiseLinear(blocks * channels, channels), nn.GELU()),
            after_blocks=BlueprintSeparable(channels, channels),
            upsampler=pixel_shuffle_tail(channels, scale),
        )
