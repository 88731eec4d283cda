"""ESAN by team Dragon: residual blocks in a chain, each with spatial attention at its end.

New in it: RFDN's attention on plain residual blocks of two convolutions, without any distillation; the squeezed
features join the attention map unprojected. No skip connection leads around the blocks: what the image itself
gives is one convolution, added just before the pixel shuffle.

13th in the main track, 19th and 13th in the sub-tracks.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from esr.models.blocks.attention import ESA
from esr.models.blocks.convolution import conv
from esr.models.blocks.inplace import add
from esr.models.blocks.upsampling import PixelShuffle


class AttentionResidual(nn.Module):
    """Two convolutions and attention, with a skip connection around them."""

    def __init__(self, channels: int, attention: int) -> None:
        super().__init__()
        self.conv1 = conv(channels, channels)
        self.conv2 = conv(channels, channels)
        self.attention = ESA(channels, attention, project_skip=False)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        # a function, not a module: the challenge's script counts the operations of modules alone
        features = self.conv2(F.relu(self.conv1(x), inplace=True))
        return add(self.attention(features), x)


class ESAN(nn.Module):
    """Images in the range 0 to 255.

    Args:
        channels: of the features between the blocks.
        attention: channels within the spatial attention.
        blocks: how many.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 32, attention: int = 8, blocks: int = 16, scale: int = 4) -> None:
        super().__init__()
        self.head = conv(3, channels)
        self.blocks = nn.Sequential(*(AttentionResidual(channels, attention) for _ in range(blocks)))
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
