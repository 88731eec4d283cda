"""Faster RFDN by team TOVBU: RFDN with refinements that get narrower from step to step.

New: from the second step on, the refinement starts from the part that the step distils instead of the step's input, so
its 3×3 convolution is as narrow as that part. Within a block the width shrinks from 64 to 32 to 16 channels.
"""

from torch import Tensor, nn

from esr.models.blocks.attention import ESA
from esr.models.blocks.branches import Residual
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import FeatureDistillation
from esr.models.blocks.inplace import add
from esr.models.blocks.trunk import RFDNTrunk


class FRFDB(FeatureDistillation):
    """Three steps that distil a half, a half and a quarter of the block's channels; a fourth distils a quarter."""

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

    def refine_step(self, refine: nn.Module, x: Tensor, parts: list[Tensor]) -> Tensor:
        """The first step refines its input, the others their part."""
        source = x if len(parts) == 1 else parts[-1]
        return add(refine(source), source)


class FRFDN(RFDNTrunk):
    """Images in the range 0 to 1.

    Args:
        channels: number of channels of the features between the blocks, a multiple of 4.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 64, num_blocks: int = 4, scale: int = 4) -> None:
        super().__init__([FRFDB(channels) for _ in range(num_blocks)], channels=channels, scale=scale)
