"""AALN by team Drinktea: pairs of convolutions, weighed by channel and by pixel.

New in it: a pair's second convolution follows the first, so that its view is 5×5, and both results are joined
under attention that sees the channels' mean and their contrast through a layer each; depthwise attention at
full resolution ends a block. Mean colours are taken off before and added after, and the network only adds to
the image that bicubic interpolation gives.

Main track 23rd, sub-tracks 31st and 27th.
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
    """A factor for each channel, from its mean and its contrast; overwrites its input."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.mean = nn.Sequential(conv(channels, squeezed, 1), nn.ReLU(inplace=True))
        self.contrast = nn.Sequential(conv(channels, squeezed, 1), nn.ReLU(inplace=True))
        self.expand = conv(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        mean, contrast = mean_and_contrast(x)
        return rescale(x, self.expand(add(self.mean(mean), self.contrast(contrast))).sigmoid())


class DepthwiseAttention(nn.Module):
    """A factor for each channel of each pixel, from the 5×5 pixels of that channel around it."""

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
    """Two convolutions in a row whose results are joined under attention, with a skip connection around."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.refine = numbered(_activated(channels, channels) for _ in range(PAIR))
        self.attention = MeanContrastAttention(PAIR * channels, squeezed)
        self.fuse = conv(PAIR * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        joined = concatenate(chain(self.refine, x))
        return add(self.fuse(self.attention(joined)), x)


class AALB(nn.Module):
    """Two pairs in a row whose results are joined, then attention, with a skip connection around."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.pairs = numbered(ConvolutionPair(channels, squeezed) for _ in range(PAIR))
        self.fuse = conv(PAIR * channels, channels, 1)
        self.attention = DepthwiseAttention(channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        fused = self.fuse(concatenate(chain(self.pairs, x)))
        return add(self.attention(fused), x)


class AALN(FusedTrunk):
    """Images in the range 0 to 255.

    The mean colours, those of DIV2K, are weights like any other and come with them.

    Args:
        channels: of the features between the blocks.
        squeezed: channels within the attention over mean and contrast, which sees twice `channels`: a twelfth of
            them as published.
        blocks: how many.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 54, squeezed: int = 9, blocks: int = 4, scale: int = 4) -> None:
        enlarge = pixel_shuffle_tail(channels, scale, kernel_size=1)
        super().__init__(
            head=nn.Sequential(*_activated(COLOURS, channels), *_activated(channels, channels)),
            blocks=numbered(AALB(channels, squeezed) for _ in range(blocks)),
            fuse=conv(blocks * channels, channels, 1),
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
