"""IMDN, the baseline of the challenge, against which every network is measured.

New: information multi-distillation, in which each of three refinement steps passes a quarter of its channels to the
block's end. The challenge's variant chains eight such blocks, without the paper's contrast-aware channel attention and
without its fusion of all blocks.

Hui, Gao, Yang and Wang, "Lightweight Image Super-Resolution with Information Multi-distillation Network",
ACM Multimedia 2019, arXiv:1909.11856. A baseline of the published table, not ranked.

Team xilinxSR entered the same network with seven blocks (`model=imdn_nb7`).
"""

from torch import nn

from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import SplitDistillation
from esr.models.blocks.trunk import ConvTrunk

STEPS = 3


class IMDB(SplitDistillation):
    """Information multi-distillation block of three steps."""

    def __init__(self, channels: int, distilled_channels: int) -> None:
        rest = channels - distilled_channels
        super().__init__(
            refine=[conv(channels if step == 0 else rest, channels) for step in range(STEPS)],
            last=conv(rest, distilled_channels),
            fuse=conv((STEPS + 1) * distilled_channels, channels, 1),
            distilled_channels=distilled_channels,
            activation=nn.LeakyReLU(0.05, inplace=True),
        )


class IMDN(ConvTrunk):
    """The challenge's IMDN; images in the range 0 to 1.

    Args:
        channels: number of channels of the features between the blocks.
        distilled_channels: number of channels that each step of a block distils.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(
        self, *, channels: int = 64, distilled_channels: int = 16, num_blocks: int = 8, scale: int = 4
    ) -> None:
        super().__init__(
            nn.Sequential(*(IMDB(channels, distilled_channels) for _ in range(num_blocks))),
            channels=channels,
            scale=scale,
        )
