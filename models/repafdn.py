"""RePAFDN by team Super: distillation in fewer steps, and attention before the long skip connection.

New: RFDN without skip connections in its steps, and with one step fewer in each block but the last, which distils half
as many channels per step; pixel attention on the residual that is added to the shallow features.
"""

from collections.abc import Sequence

from esr.models.blocks.attention import ESA, PixelAttention
from esr.models.blocks.containers import named
from esr.models.blocks.convolution import conv
from esr.models.blocks.trunk import RFDNTrunk
from esr.models.rfdn import RFDB


class RePAFDN(RFDNTrunk):
    """Images in the range 0 to 1.

    Args:
        steps: number of distillation steps in each block.
        distilled_channels: number of channels that each step of a block distils, per block.
        channels: number of channels of the features between the blocks; attention works on a quarter of them.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        steps: Sequence[int] = (2, 2, 2, 3),
        distilled_channels: Sequence[int] = (24, 24, 24, 12),
        channels: int = 48,
        scale: int = 4,
    ) -> None:
        blocks = [
            RFDB(channels, distilled, ESA(channels, channels // 4), dilations=[1] * count, residual=False)
            for count, distilled in zip(steps, distilled_channels, strict=True)
        ]
        super().__init__(
            blocks,
            channels=channels,
            scale=scale,
            after_blocks=named(conv=conv(channels, channels), attention=PixelAttention(channels)),
        )
