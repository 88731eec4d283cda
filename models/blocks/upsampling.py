"""Upsampling from LR features to the SR image."""

import torch.nn.functional as F
from torch import Tensor, nn

from esr.models.blocks.convolution import conv


class PixelShuffle(nn.Module):
    """Rearranges channels into `scale`×`scale` pixels, as `torch.nn.PixelShuffle` does.

    Sub-pixel convolution: Shi et al., CVPR 2016, arXiv:1609.05158.

    >>> import torch
    >>> PixelShuffle(2)(torch.arange(4.0).view(1, 4, 1, 1))
    tensor([[[[0., 1.],
              [2., 3.]]]])
    """

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """N×C·scale²×H×W -> N×C×scale·H×scale·W."""
        # on the CPU torch's own kernel takes twice as long as this single copy, which is also its GPU implementation
        number, channels, height, width = x.shape
        scale, kept = self.scale, channels // self.scale**2
        apart = x.view(number, kept, scale, scale, height, width).permute(0, 1, 4, 2, 5, 3)
        return apart.reshape(number, kept, scale * height, scale * width)


def pixel_shuffle_tail(
    channels: int, scale: int, *, out_channels: int = 3, kernel_size: int = 3, bias: bool = True
) -> nn.Sequential:
    """One convolution, then the rearrangement of its channels into `scale`×`scale` pixels.

    Maps N×channels×H×W to N×out_channels×scale·H×scale·W.
    """
    return nn.Sequential(conv(channels, out_channels * scale**2, kernel_size, bias=bias), PixelShuffle(scale))


def bicubic(x: Tensor, scale: int) -> Tensor:
    """Bicubic interpolation: N×C×H×W -> N×C×scale·H×scale·W.

    >>> import torch
    >>> bicubic(torch.ones(1, 3, 2, 4), 4).shape
    torch.Size([1, 3, 8, 16])
    """
    height, width = x.shape[-2:]  # a size stays exact on export, where a factor is rounded
    return F.interpolate(x, size=(scale * height, scale * width), mode="bicubic", align_corners=False)
