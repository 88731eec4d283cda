"""CLRFDN by team VAP: RFDN narrowed to 32 channels.

New: sigmoid linear units (SiLU) instead of leaky rectified ones, no skip connections in the steps of a block, and no
convolution between the fusion of the blocks and the long skip connection.

Not ranked: its PSNR on the test set, 28.47 dB, is not on par with the baseline's.
"""

from torch import nn

from esr.models.blocks.attention import ESA
from esr.models.blocks.trunk import RFDNTrunk
from esr.models.rfdn import RFDB


class SiLURFDB(RFDB):
    """A residual feature distillation block whose last part is activated twice, as in the published network."""

    def __init__(self, channels: int) -> None:
        attention = ESA(channels, channels // 4)
        super().__init__(channels, channels // 2, attention, residual=False, activation=nn.SiLU(inplace=True))
        self.last = nn.Sequential(self.last, nn.SiLU(inplace=True))


class CLRFDN(RFDNTrunk):
    """Images in the range 0 to 255.

    Args:
        num_blocks: number of blocks.
        channels: number of channels of the features between the blocks; each step distils half of them, and the
            attention works on a quarter.
        scale: upscaling factor.
    """

    def __init__(self, *, num_blocks: int = 4, channels: int = 32, scale: int = 4) -> None:
        super().__init__(
            [SiLURFDB(channels) for _ in range(num_blocks)],
            channels=channels,
            scale=scale,
            activation=nn.PReLU(),
            after_blocks=nn.Identity(),
        )
