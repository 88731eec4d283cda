"""SPAN, baseline of the challenge of 2026 and winner of that of 2024: attention without parameters.

New: a block's features are multiplied by weights that come from the features themselves, by a function that is odd, so
that strong responses of either sign are kept and weak ones suppressed; no layer computes them. Convolutions with
several branches in training are single ones here. The end sees the first features, the first block's output, the last
block's first convolution and the refined end of the chain.

Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution", CVPR workshops 2024,
arXiv:2311.12770.
"""

from typing import cast

import torch
from torch import Tensor, nn

from esr.models.blocks.containers import numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import concatenate
from esr.models.blocks.upsampling import pixel_shuffle_tail

MEAN_COLOURS = (0.4488, 0.4371, 0.4040)
"""Of DIV2K, for images in the range 0 to 1."""
GREY_LEVELS = 255.0
JOINED = 4
"""Features that the fusion sees."""


def attend(features: Tensor, skip: Tensor) -> Tensor:
    """`(features + skip) * (sigmoid(features) - 0.5)`, overwriting `features`.

    >>> attend(torch.zeros(2), torch.ones(2))
    tensor([0., 0.])
    """
    if features.requires_grad:
        return (features + skip) * (features.sigmoid() - 0.5)
    weights = features.sigmoid().sub_(0.5)
    return weights.mul_(features.add_(skip))


class SPAB(nn.Module):
    """Swift parameter-free attention block: three convolutions, and attention by their own result."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.refine = numbered(conv(channels, channels) for _ in range(3))
        self.activation = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        return self.leave(self.enter(x), x)

    def enter(self, x: Tensor) -> Tensor:
        """The activated features of the first convolution."""
        features: Tensor = self.activation(self.refine[0](x))
        return features

    def leave(self, features: Tensor, x: Tensor) -> Tensor:
        """From what `enter` returned, and the block's input, to the block's output."""
        features = self.activation(self.refine[1](features))
        features = self.refine[2](features)  # a separate statement: the activated features are already released
        return attend(features, x)


class SPAN(nn.Module):
    """Images in the range 0 to 1.

    Args:
        channels: number of channels of the features.
        num_blocks: number of blocks, two or more.
        scale: upscaling factor.
    """

    mean_colours: Tensor

    def __init__(self, *, channels: int = 28, num_blocks: int = 6, scale: int = 4) -> None:
        super().__init__()
        self.register_buffer("mean_colours", torch.tensor(MEAN_COLOURS).view(1, 3, 1, 1), persistent=False)
        self.head = conv(3, channels)
        self.blocks = numbered(SPAB(channels) for _ in range(num_blocks))
        self.after_blocks = conv(channels, channels)
        self.fuse = conv(JOINED * channels, channels, 1)
        self.upsampler = pixel_shuffle_tail(channels, scale)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W -> N×3×scale·H×scale·W."""
        shallow = self.head((x - self.mean_colours) * GREY_LEVELS)
        first, *others, last = cast(list[SPAB], list(self.blocks))
        first_output = deep = first(shallow)
        for block in others:
            deep = block(deep)
        last_features = last.enter(deep)
        deep = self.after_blocks(last.leave(last_features, deep))
        parts = [shallow, deep, first_output, last_features]
        del shallow, deep, first_output, last_features
        fused = concatenate(parts)
        fused = self.fuse(fused)
        image: Tensor = self.upsampler(fused)
        return image
