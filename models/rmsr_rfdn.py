"""RMSR_RFDN by team Set5baby Team: RFDN with depthwise refinements and attention without strided convolutions.

New: a refinement is two pairs of a depthwise 3×3 convolution with a skip connection and a 1×1 convolution, as in
ConvMixer. The spatial attention reduces its resolution by moving 2×2 pixels into channels, which loses nothing, before
the wide pooling.

Not ranked: its PSNR is not on par with the baseline's.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esr.models.blocks.attention import ESA
from esr.models.blocks.branches import Residual
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import FeatureDistillation
from esr.models.blocks.trunk import RFDNTrunk

STEPS = 3
UNSHUFFLED = 4
"""Channels per channel once 2×2 pixels have become one."""


class UnshuffledContext(nn.Module):
    """The attention's low-resolution view: 2×2 pixels as channels, a wide pooling, one 1×1 convolution.

    Maps N×channels×H×W to N×channels×h×w with `h = (H // 2 - 7) // 3 + 3`; H and W are at least 14.
    """

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        kernel = torch.eye(UNSHUFFLED).reshape(UNSHUFFLED, 1, 2, 2)
        self.register_buffer("kernel", kernel.repeat(channels, 1, 1, 1), persistent=False)
        self.pool = nn.MaxPool2d(kernel_size=7, stride=3)
        self.activation = nn.ReLU(inplace=True)
        # the padding adds a frame of zeros, which enlarges the map
        self.refine = nn.Conv2d(UNSHUFFLED * channels, channels, kernel_size=1, padding=1)
        # never run, but published and counted among the parameters
        self.unused = conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> N×channels×h×w."""
        # F.pixel_unshuffle as a convolution, as published, so that its MACs count
        unshuffled = F.conv2d(x, self.kernel, stride=2, groups=x.shape[1])
        pooled = self.activation(self.pool(unshuffled))
        refined: Tensor = self.activation(self.refine(pooled))
        return refined


def mixer(channels: int) -> list[nn.Module]:
    """A depthwise convolution with a skip connection, and a 1×1 convolution."""
    return [Residual(conv(channels, channels, groups=channels)), conv(channels, channels, 1)]


class RMSRRFDB(FeatureDistillation):
    """A residual feature distillation block that refines with depthwise convolutions."""

    def __init__(self, channels: int) -> None:
        distilled_channels, attention_channels = channels // 2, channels // 4
        super().__init__(
            distill=[conv(channels, distilled_channels, 1) for _ in range(STEPS)],
            refine=[nn.Sequential(*mixer(channels), nn.ReLU(inplace=True), *mixer(channels)) for _ in range(STEPS)],
            last=conv(channels, distilled_channels),
            fuse=conv((STEPS + 1) * distilled_channels, channels, 1),
            attention=ESA(channels, attention_channels, context=UnshuffledContext(attention_channels)),
            activation=nn.LeakyReLU(0.05, inplace=True),
        )


class RMSRRFDN(RFDNTrunk):
    """Images in the range 0 to 255.

    Args:
        channels: number of channels of the features between the blocks.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 50, num_blocks: int = 4, scale: int = 4) -> None:
        super().__init__([RMSRRFDB(channels) for _ in range(num_blocks)], channels=channels, scale=scale)
