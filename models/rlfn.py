"""RLFN by team ByteESR: the fastest of all ranked networks.

New in it: RFDN without distillation. A block is three convolutions with one local skip connection, because
concatenations cost more time than they are worth; its spatial attention keeps one convolution of three.

Kong et al., "Residual Local Feature Network for Efficient Super-Resolution", CVPR workshops 2022,
arXiv:2205.07514. 1st in the main track, 11th and 2nd in the sub-tracks.
"""

from torch import Tensor, nn

from esr.models.blocks.attention import ESA, pooled_context
from esr.models.blocks.containers import named, numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.inplace import add
from esr.models.blocks.trunk import ConvTrunk


class LocalRefinement(nn.Module):
    """Three convolutions, each with its activation, a skip connection around them, and a 1×1 convolution."""

    def __init__(self, channels: int, refined: int) -> None:
        super().__init__()
        self.refine = numbered([conv(channels, refined), conv(refined, refined), conv(refined, channels)])
        self.fuse = conv(channels, channels, 1)
        self.activation = nn.LeakyReLU(0.05, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        features = x
        for refine in self.refine:
            features = self.activation(refine(features))
        fused: Tensor = self.fuse(add(features, x))
        return fused


def rlfb(channels: int, refined: int, attention: int) -> nn.Sequential:
    """A residual local feature block: N×channels×H×W -> the same shape."""
    return named(
        local=LocalRefinement(channels, refined),
        attention=ESA(channels, attention, context=pooled_context(attention, convolutions=1)),
    )


class RLFN(ConvTrunk):
    """Images in the range 0 to 255.

    Args:
        channels: of the features between the blocks.
        refined: channels between the convolutions of a block.
        attention: channels within the spatial attention.
        blocks: how many.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        channels: int = 46,
        refined: int = 48,
        attention: int = 16,
        blocks: int = 4,
        scale: int = 4,
    ) -> None:
        super().__init__(
            numbered(rlfb(channels, refined, attention) for _ in range(blocks)),
            channels=channels,
            scale=scale,
        )
