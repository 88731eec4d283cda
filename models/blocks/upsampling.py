"""From LR features to the SR image."""

from torch import nn

from esr.models.blocks.convolution import conv


def pixel_shuffle_tail(
    channels: int, scale: int, *, out_channels: int = 3, kernel_size: int = 3, bias: bool = True
) -> nn.Sequential:
    """One convolution, then the rearrangement of its channels into `scale`×`scale` pixels.

    Maps N×channels×H×W to N×out_channels×scale·H×scale·W. Sub-pixel convolution: Shi et al., CVPR 2016,
    arXiv:1609.05158.
    """
    return nn.Sequential(
        conv(channels, out_channels * scale**2, kernel_size, bias=bias), nn.PixelShuffle(scale)
    )
