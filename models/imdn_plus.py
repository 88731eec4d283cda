"""IMDN+ by team rainbow: IMDN that narrows from step to step instead of widening again.

New: five steps per block, each of which distils a sixth of the channels and refines only the rest, so the convolutions
shrink from step to step; SiLU after all of them, including the last part's; 36 channels.
"""

from torch import nn

from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import SplitDistillation
from esr.models.blocks.trunk import ConvTrunk


class NarrowingIMDB(SplitDistillation):
    """Information multi-distillation block whose steps distil channels until none is left."""

    def __init__(self, channels: int, distilled_channels: int) -> None:
        super().__init__(
            refine=[conv(width, width) for width in range(channels, distilled_channels, -distilled_channels)],
            last=nn.Sequential(conv(distilled_channels, distilled_channels), nn.SiLU(inplace=True)),
            fuse=conv(channels, channels, 1),
            distilled_channels=distilled_channels,
            activation=nn.SiLU(inplace=True),
        )


class IMDNPlus(ConvTrunk):
    """Images in the range 0 to 1.

    Args:
        channels: number of channels of the features between the blocks, a multiple of `distilled_channels`.
        distilled_channels: number of channels that each step of a block distils.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 36, distilled_channels: int = 6, num_blocks: int = 8, scale: int = 4) -> None:
        super().__init__(
            nn.Sequential(*(NarrowingIMDB(channels, distilled_channels) for _ in range(num_blocks))),
            channels=channels,
            scale=scale,
        )
