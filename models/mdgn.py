"""MDGN by team Strong Tiger: three plain convolutions per block, rescaled by one map for all channels.

New: the three refinements of a block are joined in full, without distillation or splitting. The map that rescales the
result has a single channel, from a 1×1 convolution of the block's input. Parametric ReLUs have a slope per channel.

Not ranked: its PSNR is not on par with the baseline's.
"""

from torch import Tensor, nn

from esr.models.blocks.containers import numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import chain, concatenate
from esr.models.blocks.inplace import rescale
from esr.models.blocks.trunk import ConvTrunk

STEPS = 3


def activated(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    """A convolution and its parametric ReLU."""
    return nn.Sequential(conv(in_channels, out_channels, kernel_size), nn.PReLU(out_channels))


class MDGB(nn.Module):
    """A chain of refinements, their fusion, and a factor for each pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.refine = numbered(activated(channels, channels, 3) for _ in range(STEPS))
        self.fuse = activated(STEPS * channels, channels, 1)
        self.map = conv(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        fused = self.fuse(concatenate(chain(self.refine, x)))
        return rescale(fused, self.map(x).sigmoid())


class MDGN(ConvTrunk):
    """Images in the range 0 to 255.

    Args:
        channels: number of channels of all features.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 64, num_blocks: int = 4, scale: int = 4) -> None:
        super().__init__(numbered(MDGB(channels) for _ in range(num_blocks)), channels=channels, scale=scale)
