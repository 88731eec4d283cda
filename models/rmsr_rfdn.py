"""RFDN as team Set5baby Team changed it: depthwise refinements and attention without strided convolutions.

New in it: a refinement is two pairs of a depthwise 3×3 convolution with a skip connection and a 1×1
convolution, as ConvMixer's layers are; the spatial attention shrinks its view by moving 2×2 pixels into
channels, a loss-free step, before the wide pooling.

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
"""Channels that one becomes where 2×2 pixels become one."""


class UnshuffledContext(nn.Module):
    """What the attention looks at: 2×2 pixels as channels, a wide pooling, one 1×1 convolution.

    Maps N×channels×H×W to N×channels×h×w with `h = (H // 2 - 7) // 3 + 3`; H and W are at least 14.
    """

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        kernel = torch.eye(UNSHUFFLED).reshape(UNSHUFFLED, 1, 2, 2)
        self.register_buffer("kernel", kernel.repeat(channels, 1, 1, 1), persistent=False)
        self.pool = nn.MaxPool2d(kernel_size=7, stride=3)
        self.activation = nn.ReLU(inplace=True)
        # the padding adds a frame of zeros, which shows in the map's size
        self.refine = nn.Conv2d(UNSHUFFLED * channels, channels, kernel_size=1, padding=1)
        # published, and counted among the parameters, but never run
        self.unused = conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> N×channels×h×w."""
        # what F.pixel_unshuffle does, but by a convolution as published, whose MACs count
        unshuffled = F.conv2d(x, self.kernel, stride=2, groups=x.shape[1])
        pooled = self.activation(self.pool(unshuffled))
        refined: Tensor = self.activation(self.refine(pooled))
        return refined


def mixer(channels: int) -> list[nn.Module]:
    """A depthwise convolution with a skip connection, and a 1×1 convolution."""
    return [Residual(conv(channels, channels, groups=channels)), conv(channels, channels, 1)]


class DepthwiseRFDB(FeatureDistillation):
    """A residual feature distillation block that refines with depthwise convolutions."""

    def __init__(self, channels: int) -> None:
        distilled, attention = channels // 2, channels // 4
        super().__init__(
            distill=[conv(channels, distilled, 1) for _ in range(STEPS)],
            refine=[
                nn.Sequential(*mixer(channels), nn.ReLU(inplace=True), *mixer(channels)) for _ in range(STEPS)
            ],
            last=conv(channels, distilled),
            fuse=conv((STEPS + 1) * distilled, channels, 1),
            attention=ESA(channels, attention, context=UnshuffledContext(attention)),
            activation=nn.LeakyReLU(0.05, inplace=True),
        )


class DepthwiseRFDN(RFDNTrunk):
    """Images in the range 0 to 255.

    Args:
        channels: of the features between the blocks.
        blocks: how many.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 50, blocks: int = 4, scale: int = 4) -> None:
        super().__init__([DepthwiseRFDB(channels) for _ in range(blocks)], channels=channels, scale=scale)
