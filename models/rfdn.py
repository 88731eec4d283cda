"""RFDN, winner of the AIM 2020 challenge and ancestor of most of the networks here.

New in it: distillation by 1×1 convolutions beside the refinement instead of by splitting channels, so that no
refinement is narrowed; shallow residual blocks, a 3×3 convolution with a skip connection and nothing else;
enhanced spatial attention at the end of each block.

Liu, Tang and Wu, "Residual Feature Distillation Network for Lightweight Image Super-Resolution",
ECCV workshops 2020, arXiv:2009.11551. A baseline of the published table, not ranked.
"""

from torch import nn

from esr.models.blocks.attention import ESA
from esr.models.blocks.containers import numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import FeatureDistillation
from esr.models.blocks.trunk import FusedTrunk
from esr.models.blocks.upsampling import pixel_shuffle_tail

STEPS = 3


class RFDB(FeatureDistillation):
    """A residual feature distillation block: three steps, a fusion, attention."""

    def __init__(self, channels: int, distilled: int, attention: int) -> None:
        super().__init__(
            distill=[conv(channels, distilled, 1) for _ in range(STEPS)],
            refine=[conv(channels, channels) for _ in range(STEPS)],
            last=conv(channels, distilled),
            fuse=conv((STEPS + 1) * distilled, channels, 1),
            attention=ESA(channels, attention),
            activation=nn.LeakyReLU(0.05, inplace=True),
        )


class RFDN(FusedTrunk):
    """The challenge's RFDN; images in the range 0 to 255.

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
        channels: int = 50,
        distilled: int = 25,
        attention: int = 12,
        blocks: int = 4,
        scale: int = 4,
    ) -> None:
        super().__init__(
            head=conv(3, channels),
            blocks=numbered(RFDB(channels, distilled, attention) for _ in range(blocks)),
            fuse=nn.Sequential(conv(blocks * channels, channels, 1), nn.LeakyReLU(0.05, inplace=True)),
            after_blocks=conv(channels, channels),
            upsampler=pixel_shuffle_tail(channels, scale),
        )
