"""EFDN by team NKU-ESR: RFDN's distillation around convolutions that had several branches in training.

New: edge-enhanced diverse branch blocks, each a single 3×3 convolution after re-parameterisation; a 1×1 convolution at
the start of each block; parts distilled without an activation; each block's output fused with an earlier one, from the
third block on always with the second's.

Wang, "Edge-enhanced Feature Distillation Network for Efficient Super-Resolution", CVPR workshops 2022,
arXiv:2204.08759.
"""

from torch import Tensor, nn

from esr.models.blocks.attention import ESA
from esr.models.blocks.containers import numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import chain, concatenate
from esr.models.blocks.inplace import add
from esr.models.blocks.upsampling import pixel_shuffle_tail

KERNELS = (1, 3, 3)
"""Kernel size of the refinement in each step of a block."""


class EFDB(nn.Module):
    """Edge-enhanced feature distillation block: activations only in the refinement, a skip connection around it all."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        distilled_channels = channels // 2
        self.distill = numbered(conv(channels, distilled_channels, 1) for _ in KERNELS)
        self.refine = numbered(conv(channels, channels, kernel_size) for kernel_size in KERNELS)
        self.activations = numbered(nn.PReLU(channels) for _ in KERNELS)
        self.last = conv(channels, distilled_channels, 1)
        self.fuse = conv((len(KERNELS) + 1) * distilled_channels, channels, 1)
        self.attention = ESA(channels, channels // 4)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        features = x
        parts: list[Tensor] = []
        for distill, refine, activation in zip(self.distill, self.refine, self.activations, strict=True):
            parts.append(distill(features))
            features = refine(features)
            features = activation(features)  # a separate statement: the step's input is already released
        parts.append(self.last(features))
        del features
        return add(self.attention(self.fuse(concatenate(parts))), x)


class EFDN(nn.Module):
    """Images in the range 0 to 1, which the output is clamped to.

    Args:
        channels: number of channels of the features between the blocks.
        num_blocks: number of blocks, two or more.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 48, num_blocks: int = 4, scale: int = 4) -> None:
        super().__init__()
        self.head = conv(3, channels)
        self.blocks = nn.Sequential(*(EFDB(channels) for _ in range(num_blocks)))
        self.fuse = nn.Sequential(*(conv(2 * channels, channels, 1) for _ in range(num_blocks - 1)))
        self.upsampler = pixel_shuffle_tail(channels, scale)

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W -> N×3×scale·H×scale·W."""
        first, second, *others = self.blocks
        fuse_pair, *fuse_others = self.fuse
        shallow = self.head(x)
        outputs = chain([first, second], shallow)
        shared = outputs[-1]
        deep = fuse_pair(concatenate(outputs))
        for block, fuse in zip(others, fuse_others, strict=True):
            outputs = [shared, block(deep)]
            deep = fuse(concatenate(outputs))
        del shared
        deep = add(deep, shallow)
        del shallow
        image: Tensor = self.upsampler(deep)
        return image.clamp(0, 1)
