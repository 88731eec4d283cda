"""From LR features to the SR image."""

import torch.nn.functional as F
from torch import Tensor, nn

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


def bicubic(x: Tensor, scale: int) -> Tensor:
    """Interpolates N×C×H×W to N×C×scale·H×scale·W.

    >>> import torch
    >>> bicubic(torch.ones(1, 3, 2, 4), 4).shape
    torch.Size([1, 3, 8, 16])
    """
    height, width = x.shape[-2:]  # a size stays exact where a factor is a rounded one, when exported
    return F.interpolate(x, size=(scale * height, scale * width), mode="bicubic", align_corners=False)
