"""FDEN by team NJU_MCG: narrow features that widen only between 1×1 convolutions.

New: before its 3×3 convolution, a refinement widens the features fivefold and narrows them again, pixel by pixel; no
activation follows. Attention uses the details of a Laplacian pyramid (the difference between each level and the next
coarser one) and passes the finest details on beside the rescaled features.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from esr.models.blocks.containers import numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import FeatureDistillation, concatenate
from esr.models.blocks.inplace import gate
from esr.models.blocks.trunk import RFDNTrunk

STEPS = 3
LEVELS = 3


def resize(x: Tensor, like: Tensor) -> Tensor:
    """`x` at the height and width of another tensor, interpolated bilinearly."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class DetailAttention(nn.Module):
    """Rescales features by the details of their Laplacian pyramid.

    Height and width must be at least 8.
    """

    def __init__(self, channels: int, squeezed_channels: int) -> None:
        super().__init__()
        self.squeeze = conv(channels, squeezed_channels, 1)
        self.coarsen = numbered(
            nn.Sequential(nn.MaxPool2d(2), conv(squeezed_channels, squeezed_channels), nn.ReLU(inplace=True))
            for _ in range(LEVELS)
        )
        self.expand = conv(LEVELS * squeezed_channels, channels, 1)
        self.fuse = conv(channels + squeezed_channels, channels, 1)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        level = self.activation(self.squeeze(x))
        details: list[Tensor] = []
        for coarsen in self.coarsen:
            coarser = coarsen(level)
            detail = level - resize(coarser, level)
            details.append(resize(detail, x) if details else detail)
            level = coarser
        finest = details[0]
        del level, coarser, detail
        attended = gate(x, self.expand(concatenate(details)))
        fused: Tensor = self.fuse(concatenate([attended, finest]))
        return fused


class FDEB(FeatureDistillation):
    """Three steps with activations only on distilled and widened features."""

    def __init__(self, channels: int) -> None:
        distilled_channels, widened = channels // 2, 5 * channels

        def activation() -> nn.LeakyReLU:
            return nn.LeakyReLU(0.05, inplace=True)

        super().__init__(
            distill=[
                nn.Sequential(conv(channels, distilled_channels, 1, bias=False), activation()) for _ in range(STEPS)
            ],
            refine=[
                nn.Sequential(
                    conv(channels, widened, 1),
                    activation(),
                    conv(widened, channels, 1),
                    conv(channels, channels),
                )
                for _ in range(STEPS)
            ],
            last=conv(channels, channels),
            fuse=conv(STEPS * distilled_channels + channels, channels, 1),
            attention=DetailAttention(channels, channels // 4),
            activation=nn.Identity(),
        )


class FDEN(RFDNTrunk):
    """Images in the range 0 to 255.

    Args:
        channels: number of channels of the features between the blocks.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 29, num_blocks: int = 4, scale: int = 4) -> None:
        super().__init__([FDEB(channels) for _ in range(num_blocks)], channels=channels, scale=scale)
