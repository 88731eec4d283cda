"""ARFDN by team HiImageTeam: RFDN with asymmetric convolutions and few parameters.

New: a refinement is the sum of two branches, a 3×1 convolution followed by a 1×3 one and the reverse. The first
refinement halves the channels, so all later ones are narrow. Each step adds every part that the block has distilled so
far.
"""

from torch import Tensor, nn

from esr.models.blocks.attention import ESA
from esr.models.blocks.branches import Summed
from esr.models.blocks.convolution import conv
from esr.models.blocks.inplace import add
from esr.models.blocks.narrow_distillation import NarrowDistillation
from esr.models.blocks.trunk import RFDNTrunk


def asymmetric(in_channels: int, out_channels: int) -> Summed:
    """N×in_channels×H×W -> N×out_channels×H×W."""

    def branch(first: tuple[int, int], second: tuple[int, int]) -> nn.Sequential:
        return nn.Sequential(
            conv(in_channels, out_channels, first),
            nn.LeakyReLU(0.05, inplace=True),
            conv(out_channels, out_channels, second),
        )

    return Summed(branch((3, 1), (1, 3)), branch((1, 3), (3, 1)))


class ARFDB(NarrowDistillation):
    """Narrow distillation in which each step adds all parts distilled so far."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            channels,
            refine=asymmetric,
            attention=ESA(channels, channels // 4),
            activation=nn.LeakyReLU(0.05, inplace=True),
        )

    def refine_step(self, refine: nn.Module, x: Tensor, parts: list[Tensor]) -> Tensor:
        """Adds every part distilled so far, the latest first."""
        features = super().refine_step(refine, x, parts)
        for part in reversed(parts):
            features = add(features, part)
        return features


class ARFDN(RFDNTrunk):
    """Images in the range 0 to 1.

    Args:
        channels: number of channels of the features between the blocks.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 50, num_blocks: int = 4, scale: int = 4) -> None:
        super().__init__(
            [ARFDB(channels) for _ in range(num_blocks)],
            channels=channels,
            scale=scale,
            activation=nn.LeakyReLU(0.1, inplace=True),
        )
