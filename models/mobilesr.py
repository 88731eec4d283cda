"""MobileSR by team NJUST_ESR: the fewest operations in the published table, which leaves its attention out.

New: attention within windows alternates with inverted bottlenecks of 1×1, depthwise and 1×1 convolutions. The
transformers are small (eight heads of five channels), without shifted windows and without learned positions, since a
depthwise convolution before each encodes the position. The network predicts a residual to the bilinearly upscaled
image.
"""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from esr.models.blocks.containers import named, numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import concatenate
from esr.models.blocks.inplace import add
from esr.models.blocks.upsampling import pixel_shuffle_tail
from esr.models.blocks.windows import FeedForward, WindowAttention


def _activation() -> nn.Module:
    return nn.LeakyReLU(0.2, inplace=True)


class MobileBlock(nn.Module):
    """Position encoding by convolution, a window transformer, and an inverted bottleneck."""

    def __init__(self, channels: int, num_heads: int, hidden_channels: int, window: int) -> None:
        super().__init__()
        self.position = conv(channels, channels, groups=channels)
        self.transformer = named(
            attention=WindowAttention(channels, num_heads, window, norm=nn.LayerNorm(channels), bias=False),
            feed_forward=FeedForward(channels, hidden_channels, norm=nn.LayerNorm(channels), flatten=False),
        )
        self.bottleneck = named(
            expand=conv(channels, hidden_channels, 1),
            activation1=_activation(),
            depthwise=conv(hidden_channels, hidden_channels, groups=hidden_channels),
            activation2=_activation(),
            project=conv(hidden_channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        x = add(self.position(x), x)
        x = self.transformer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return add(self.bottleneck(x), x)


class MobileSR(nn.Module):
    """Images in the range 0 to 1, of any height and width.

    Args:
        channels: number of channels of the features between the blocks, a multiple of `num_heads`.
        num_heads: number of attention heads.
        hidden_channels: number of channels within the transformer and bottleneck of each block; one block per entry.
        window: window side in pixels.
        scale: upscaling factor, a power of two.
    """

    def __init__(
        self,
        *,
        channels: int = 40,
        num_heads: int = 8,
        hidden_channels: Sequence[int] = (160, 80, 80, 80, 160),
        window: int = 8,
        scale: int = 4,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.head = conv(3, channels)
        self.blocks = numbered(MobileBlock(channels, num_heads, each, window) for each in hidden_channels)
        self.fuse = conv(2 * channels, channels)
        self.upsampler = nn.Sequential(
            *(
                part
                for _ in range(int(math.log2(scale)))
                for part in pixel_shuffle_tail(channels, 2, out_channels=channels, kernel_size=1)
            ),
            _activation(),
            conv(channels, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W -> N×3×scale·H×scale·W."""
        ends = [self.head(x)]
        ends.append(self.blocks(ends[0]))
        features = self.fuse(concatenate(ends))
        for part in self.upsampler:
            features = part(features)
        enlarged = F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return add(features, enlarged)
