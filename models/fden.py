"""FDEN by team NJU_MCG: narrow features that widen only between 1×1 convolutions.

New in it: a refinement widens the features fivefold and narrows them again, pixel by pixel, before its 3×3
convolution, which is followed by no activation; attention looks at the details of a Laplacian pyramid, what
each level loses to the next coarser one, and hands the finest details on beside the rescaled features.

18th in the main track, 6th and 12th in the sub-tracks.
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
    """`x` in the height and width of another tensor, bilinearly."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class DetailAttention(nn.Module):
    """Rescales features by what the levels of their pyramid lose to each other.

    Height and width are at least 8.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.squeeze = conv(channels, squeezed, 1)
        self.coarsen = numbered(
            nn.Sequential(nn.MaxPool2d(2), conv(squeezed, squeezed), nn.ReLU(inplace=True))
            for _ in range(LEVELS)
        )
        self.expand = conv(LEVELS * squeezed, channels, 1)
        self.fuse = conv(channels + squeezed, channels, 1)
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
    """Three steps that activate only what they keep and what they widen."""

    def __init__(self, channels: int) -> None:
        distilled, widened = channels // 2, 5 * channels

        def activation() -> nn.LeakyReLU:
            return nn.LeakyReLU(0.05, inplace=True)

        super().__init__(
            distill=[
                nn.Sequential(conv(channels, distilled, 1, bias=False), activation()) for _ in range(STEPS)
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
            fuse=conv(STEPS * distilled + channels, channels, 1),
            attention=DetailAttention(channels, channels // 4),
            activation=nn.Identity(),
        )


class FDEN(RFDNTrunk):
    """Images in the range 0 to 255.

    Args:
        channels: of the features between the blocks.
        blocks: how many.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 29, blocks: int = 4, scale: int = 4) -> None:
        super().__init__([FDEB(channels) for _ in range(blocks)], channels=channels, scale=scale)
