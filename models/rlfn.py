"""RLFN by team ByteESR: the fastest of all ranked networks.

New: RFDN without distillation. A block is three convolutions with one local skip connection, because concatenations
cost more time than they are worth; its spatial attention has one convolution instead of three.

Kong et al., "Residual Local Feature Network for Efficient Super-Resolution", CVPR workshops 2022,
arXiv:2205.07514.
"""

from torch import Tensor, nn

from esr.models.blocks.attention import ESA, pooled_context
from esr.models.blocks.containers import named, numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.inplace import add
from esr.models.blocks.trunk import ConvTrunk


class LocalRefinement(nn.Module):
    """Three activated convolutions with a skip connection, and a 1×1 convolution."""

    def __init__(self, channels: int, refined_channels: int) -> None:
        super().__init__()
        self.refine = numbered(
            [
                conv(channels, refined_channels),
                conv(refined_channels, refined_channels),
                conv(refined_channels, channels),
            ]
        )
        self.fuse = conv(channels, channels, 1)
        self.activation = nn.LeakyReLU(0.05, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        features = x
        for refine in self.refine:
            features = self.activation(refine(features))
        fused: Tensor = self.fuse(add(features, x))
        return fused


def rlfb(channels: int, refined_channels: int, attention_channels: int) -> nn.Sequential:
    """Residual local feature block: N×channels×H×W -> the same shape."""
    return named(
        local=LocalRefinement(channels, refined_channels),
        attention=ESA(channels, attention_channels, context=pooled_context(attention_channels, convolutions=1)),
    )


class RLFN(ConvTrunk):
    """Images in the range 0 to 255.

    Args:
        channels: number of channels of the features between the blocks.
        refined_channels: number of channels between the convolutions of a block.
        attention_channels: number of channels within the spatial attention.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        channels: int = 46,
        refined_channels: int = 48,
        attention_channels: int = 16,
        num_blocks: int = 4,
        scale: int = 4,
    ) -> None:
        super().__init__(
            numbered(rlfb(channels, refined_channels, attention_channels) for _ in range(num_blocks)),
            channels=channels,
            scale=scale,
        )
