"""IMDN, the baseline that the challenge measures everybody against.

New in it: information multi-distillation, where each of three refinement steps hands a quarter of its
channels to the block's end. The challenge's variant chains eight such blocks, without the paper's
contrast-aware channel attention and without its fusion of all blocks.

Hui, Gao, Yang and Wang, "Lightweight Image Super-Resolution with Information Multi-distillation Network",
ACM Multimedia 2019, arXiv:1909.11856. A baseline of the published table, not ranked.

Team xilinxSR entered the same network with seven blocks (`model=imdn_nb7`): 16th in the main track, 34th and
22nd in the sub-tracks.
"""

from torch import nn

from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import SplitDistillation
from esr.models.blocks.trunk import ConvTrunk

STEPS = 3


class IMDB(SplitDistillation):
    """An information multi-distillation block: three steps, each of which keeps `kept` channels."""

    def __init__(self, channels: int, kept: int) -> None:
        rest = channels - kept
        super().__init__(
            refine=[conv(channels if step == 0 else rest, channels) for step in range(STEPS)],
            last=conv(rest, kept),
            fuse=conv((STEPS + 1) * kept, channels, 1),
            kept=kept,
            activation=nn.LeakyReLU(0.05, inplace=True),
        )


class IMDN(ConvTrunk):
    """The challenge's IMDN; images in the range 0 to 1.

    Args:
        channels: of the features between the blocks.
        kept: channels that each step of a block distils.
        blocks: how many.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 64, kept: int = 16, blocks: int = 8, scale: int = 4) -> None:
        super().__init__(
            nn.Sequential(*(IMDB(channels, kept) for _ in range(blocks))), channels=channels, scale=scale
        )
