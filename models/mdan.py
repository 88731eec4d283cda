"""MDAN by team ncepu_explorers: two dilations side by side, and softmax attention over channels and pixels.

New: each 3×3 convolution is split into a grouped 1×1, a depthwise and a pointwise one, all with weight normalisation.
Each step of a block works at two dilations, both on the results of the previous step's two. Each stage of six blocks,
dilated by up to three pixels, ends in attention whose factors sum to one over the channels of a pixel and over the
pixels of a channel. The network predicts a residual to the bicubically upscaled image.
"""

import torch
from torch import Tensor, nn

from esr.models.blocks.branches import Concatenated, Residual
from esr.models.blocks.containers import named, numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import chain, concatenate
from esr.models.blocks.inplace import add, rescale
from esr.models.blocks.upsampling import PixelShuffle, bicubic
from esr.models.blocks.weight_norm import WeightNormConv2d

SCALE = 4
STEPS = 3
DILATIONS = (1, 1, 2, 2, 3, 3)
"""Dilation of each block of a stage."""
GROUPS = 3


def activation() -> nn.Module:
    """Activation after the convolutions of the blocks."""
    return nn.LeakyReLU(0.2, inplace=True)


def separable(channels: int, out_channels: int, dilation: int = 1) -> nn.Sequential:
    """Replacement of a 3×3 convolution: N×channels×H×W -> N×out_channels×H×W."""
    return named(
        by_groups=WeightNormConv2d(channels, channels, 1, groups=GROUPS),
        depthwise=WeightNormConv2d(channels, channels, dilation=dilation, groups=channels),
        pointwise=WeightNormConv2d(channels, out_channels, 1),
    )


def block(channels: int, dilation: int) -> nn.Module:
    """Steps of one plain and one dilated branch, fused; N×channels×H×W -> the same shape."""
    steps = {
        f"step{number}": Concatenated(
            nn.Sequential(separable(channels, channels // 2, spread), activation()) for spread in (1, dilation)
        )
        for number in range(1, STEPS + 1)
    }
    return Residual(named(**steps, fuse=WeightNormConv2d(channels, channels, 1)))


def near_and_wide(channels: int) -> nn.Module:
    """Input of the attention: single pixels in one half of the channels, their neighbourhoods in the other."""
    half = channels // 2
    return Concatenated([WeightNormConv2d(channels, half, 1), separable(channels, half)])


class SoftmaxAttention(nn.Module):
    """Rescales features by softmaxes of their map over the channels and over the pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.value = WeightNormConv2d(channels, channels, 1)
        self.map = separable(channels, channels)
        self.project = WeightNormConv2d(channels, channels, 1)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        logits = self.map(x)
        factors = add(logits.softmax(dim=1), logits.flatten(2).softmax(dim=2).view_as(logits))
        del logits
        attended = rescale(factors, self.value(x))
        return rescale(self.project(attended), self.scale)


class MDAN(nn.Module):
    """Images in the range 0 to 255; the upscaling factor is 4.

    Args:
        channels: number of channels of all features, a multiple of 6.
        num_stages: number of stages.
    """

    def __init__(self, *, channels: int = 48, num_stages: int = 3) -> None:
        super().__init__()
        self.subtract_mean = conv(3, 3, 1)
        self.head = nn.Sequential(WeightNormConv2d(3, channels), activation())
        self.stages = numbered(
            Residual(numbered(block(channels, dilation) for dilation in DILATIONS)) for _ in range(num_stages)
        )
        self.views = numbered(near_and_wide(channels) for _ in range(num_stages))
        self.attention = numbered(SoftmaxAttention(channels) for _ in range(num_stages))
        self.fuse = WeightNormConv2d(num_stages * channels, channels, 1)
        self.upsampler = nn.Sequential(WeightNormConv2d(channels, 3 * SCALE**2), PixelShuffle(SCALE))
        self.add_mean = conv(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W -> N×3×4·H×4·W."""
        x = self.subtract_mean(x)
        shallow = self.head(x)
        outputs = chain(self.stages, shallow)
        attended: list[Tensor] = []
        for views, attention in zip(self.views, self.attention, strict=True):
            attended.append(attention(views(outputs.pop(0))))
        deep = add(self.fuse(concatenate(attended)), shallow)
        del shallow
        deep = self.upsampler(deep)
        enlarged = bicubic(x, SCALE)
        image: Tensor = self.add_mean(add(deep, enlarged))
        return image
