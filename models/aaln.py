"""AALN by team Drinktea: pairs of convolutions, weighted by channel and by pixel.

New: the second convolution of a pair follows the first, so its receptive field is 5×5; the two results are joined
under attention that maps the channels' mean and contrast through a layer each. Depthwise attention at full resolution
ends a block. The mean colours are subtracted at the start and added back at the end; the network predicts a residual
to bicubic interpolation.
"""

from torch import Tensor, nn

from esr.models.blocks.attention import mean_and_contrast
from esr.models.blocks.containers import named, numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import chain, concatenate
from esr.models.blocks.inplace import add, gate, rescale
from esr.models.blocks.trunk import FusedTrunk
from esr.models.blocks.upsampling import bicubic, pixel_shuffle_tail

PAIR = 2
COLOURS = 3


def _activated(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(conv(in_channels, out_channels), nn.PReLU())


class MeanContrastAttention(nn.Module):
    """A factor for each channel, from its mean and contrast; overwrites its input."""

    def __init__(self, channels: int, squeezed_channels: int) -> None:
        super().__init__()
        self.mean = nn.Sequential(conv(channels, squeezed_channels, 1), nn.ReLU(inplace=True))
        self.contrast = nn.Sequential(conv(channels, squeezed_channels, 1), nn.ReLU(inplace=True))
        self.expand = conv(squeezed_channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        mean, contrast = mean_and_contrast(x)
        return rescale(x, self.expand(add(self.mean(mean), self.contrast(contrast))).sigmoid())


class DepthwiseAttention(nn.Module):
    """A factor for each channel of each pixel, from the channel's 5×5 neighbourhood."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.map = named(
            first=conv(channels, channels, groups=channels),
            activation=nn.PReLU(),
            second=conv(channels, channels, groups=channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        return gate(x, self.map(x))


class ConvolutionPair(nn.Module):
    """Two consecutive convolutions whose results are joined under attention, with a skip connection."""

    def __init__(self, channels: int, attention_channels: int) -> None:
        super().__init__()
        self.refine = numbered(_activated(channels, channels) for _ in range(PAIR))
        self.attention = MeanContrastAttention(PAIR * channels, attention_channels)
        self.fuse = conv(PAIR * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        joined = concatenate(chain(self.refine, x))
        return add(self.fuse(self.attention(joined)), x)


class AALB(nn.Module):
    """Two consecutive pairs whose results are joined, then attention, with a skip connection."""

    def __init__(self, channels: int, attention_channels: int) -> None:
        super().__init__()
        self.pairs = numbered(ConvolutionPair(channels, attention_channels) for _ in range(PAIR))
        self.fuse = conv(PAIR * channels, channels, 1)
        self.attention = DepthwiseAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        fused = self.fuse(concatenate(chain(self.pairs, x)))
        return add(self.attention(fused), x)


class AALN(FusedTrunk):
    """Images in the range 0 to 255.

    The mean colours, those of DIV2K, are part of the weights.

    Args:
        channels: number of channels of the features between the blocks.
        attention_channels: number of channels within the attention over mean and contrast; as published, a
            twelfth of its input's `2 * channels`.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 54, attention_channels: int = 9, num_blocks: int = 4, scale: int = 4) -> None:
        enlarge = pixel_shuffle_tail(channels, scale, kernel_size=1)
        super().__init__(
            head=nn.Sequential(*_activated(COLOURS, channels), *_activated(channels, channels)),
            blocks=numbered(AALB(channels, attention_channels) for _ in range(num_blocks)),
            fuse=conv(num_blocks * channels, channels, 1),
            after_blocks=nn.Identity(),
            upsampler=nn.Sequential(*_activated(channels, channels), *enlarge),
        )
        self.scale = scale
        self.subtract_mean = conv(COLOURS, COLOURS, 1)
        self.add_mean = conv(COLOURS, COLOURS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W -> N×3×scale·H×scale·W."""
        x = self.subtract_mean(x)
        image = self.add_mean(super().forward(x))
        return add(image, bicubic(x, self.scale))
