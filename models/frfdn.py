"""Faster RFDN by team TOVBU: RFDN with refinements that get narrower from step to step.

New in it: from the second step on, the refinement starts from the part that the step keeps, not from the
step's input, so that its 3×3 convolution is as narrow as that part; the widths shrink within a block from 64
over 32 to 16 channels.

11th in the main track, 21st and 19th in the sub-tracks.
"""

from torch import Tensor, nn

from esr.models.blocks.attention import ESA
from esr.models.blocks.branches import Residual
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import FeatureDistillation
from esr.models.blocks.inplace import add
from esr.models.blocks.trunk import RFDNTrunk


class FRFDB(FeatureDistillation):
    """Three steps that keep a half, a half and a quarter of the block's channels; a fourth keeps a quarter."""

    def __init__(self, channels: int) -> None:
        half, quarter = channels // 2, channels // 4
        super().__init__(
            distill=[conv(channels, half, 1), conv(channels, half, 1), conv(half, quarter, 1)],
            refine=[conv(width, width) for width in (channels, half, quarter)],
            last=Residual(conv(quarter, quarter)),
            fuse=conv(2 * half + 2 * quarter, channels, 1),
            attention=ESA(channels, quarter),
            activation=nn.LeakyReLU(0.05, inplace=True),
        )

    def refined(self, refine: nn.Module, x: Tensor, parts: list[Tensor]) -> Tensor:
        """The first step refines its input, each other one its part."""
        source = x if len(parts) == 1 else parts[-1]
        return add(refine(source), source)


class FRFDN(RFDNTrunk):
    """Images in the range 0 to 1.

    Args:
        channels: of the features between the blocks, a multiple of 4.
        blocks: how many.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 64, blocks: int = 4, scale: int = 4) -> None:
        super().__init__([FRFDB(channels) for _ in range(blocks)], channels=channels, scale=scale)
