"""ARFDN by team HiImageTeam: RFDN with asymmetric convolutions, and the third fewest parameters of the ranked.

New in it: a refinement is two branches, a 3×1 convolution then a 1×3 one and the other way round, added; the
first of them halves the channels, so that all later ones are narrow. Each step adds whatever the block has
kept before it.

15th in the main track, 3rd and 13th in the sub-tracks.
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
    """Narrow distillation, each step of which adds all the parts before it."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            channels,
            refine=asymmetric,
            attention=ESA(channels, channels // 4),
            activation=nn.LeakyReLU(0.05, inplace=True),
        )

    def refined(self, refine: nn.Module, x: Tensor, parts: list[Tensor]) -> Tensor:
        """Adds every part kept so far, the latest first."""
        features = super().refined(refine, x, parts)
        for part in reversed(parts):
            features = add(features, part)
        return features


class ARFDN(RFDNTrunk):
    """Images in the range 0 to 1.

    Args:
        channels: of the features between the blocks.
        blocks: how many.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 50, blocks: int = 4, scale: int = 4) -> None:
        super().__init__(
            [ARFDB(channels) for _ in range(blocks)],
            channels=channels,
            scale=scale,
            activation=nn.LeakyReLU(0.1, inplace=True),
        )
