"""AFDN by team NJUST_RESTORARION: RFDN without biases and with attention at full resolution.

New: in place of enhanced spatial attention, each half of a block's channels is rescaled by two 3×3 convolutions of
that half alone, without pooling. The fusion of all blocks is the only other convolution with a bias.
"""

from torch import Tensor, nn

from esr.models.blocks.containers import numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import FeatureDistillation, concatenate
from esr.models.blocks.inplace import gate
from esr.models.blocks.trunk import RFDNTrunk

STEPS = 3
HALVES = 2


class HalvesAttention(nn.Module):
    """Rescales each half of the channels by a map made from that half."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // HALVES
        self.maps = numbered(
            nn.Sequential(conv(half, half), nn.LeakyReLU(0.1, inplace=True), conv(half, half)) for _ in range(HALVES)
        )

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        halves = zip(x.chunk(HALVES, dim=1), self.maps, strict=True)
        return concatenate([gate(half, logits(half)) for half, logits in halves])


class AFDB(FeatureDistillation):
    """RFDN's steps without biases, then attention by halves."""

    def __init__(self, channels: int) -> None:
        distilled_channels = channels // 2
        super().__init__(
            distill=[conv(channels, distilled_channels, 1, bias=False) for _ in range(STEPS)],
            refine=[conv(channels, channels, bias=False) for _ in range(STEPS)],
            last=conv(channels, distilled_channels, bias=False),
            fuse=conv((STEPS + 1) * distilled_channels, channels, 1, bias=False),
            attention=HalvesAttention(channels),
            activation=nn.LeakyReLU(0.05, inplace=True),
        )


class AFDN(RFDNTrunk):
    """Images in the range 0 to 255.

    Args:
        channels: number of channels of the features between the blocks, an even number.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 46, num_blocks: int = 4, scale: int = 4) -> None:
        super().__init__([AFDB(channels) for _ in range(num_blocks)], channels=channels, scale=scale, bias=False)
