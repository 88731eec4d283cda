"""IMDN+ by team rainbow: IMDN that grows narrower instead of being widened again.

New in it: five steps a block, each of which keeps a sixth of the channels and refines only the others, so that
the convolutions shrink from step to step; SiLU after all of them, the last one's part included; 36 channels.

6th in the main track, 8th and 3rd in the sub-tracks.
"""

from torch import nn

from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import SplitDistillation
from esr.models.blocks.trunk import ConvTrunk


class NarrowingIMDB(SplitDistillation):
    """An information multi-distillation block whose steps keep `kept` channels until no more are left."""

    def __init__(self, channels: int, kept: int) -> None:
        super().__init__(
            refine=[conv(width, width) for width in range(channels, kept, -kept)],
            last=nn.Sequential(conv(kept, kept), nn.SiLU(inplace=True)),
            fuse=conv(channels, channels, 1),
            kept=kept,
            activation=nn.SiLU(inplace=True),
        )


class IMDNPlus(ConvTrunk):
    """Images in the range 0 to 1.

    Args:
        channels: of the features between the blocks, a multiple of `kept`.
        kept: channels that each step of a block distils.
        blocks: how many.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 36, kept: int = 6, blocks: int = 8, scale: int = 4) -> None:
        super().__init__(
            nn.Sequential(*(NarrowingIMDB(channels, kept) for _ in range(blocks))),
            channels=channels,
            scale=scale,
        )
