"""RePAFDN by team Super: distillation in fewer steps, and attention before the long skip connection.

New in it: RFDN without the skip connections in its steps, and with one step less in each block but the last,
which keeps half as many channels a step; pixel attention on what the blocks add to the shallow features.

4th in the main track, 12th and 10th in the sub-tracks.
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
        steps: of distillation in each block.
        distilled: channels that a step distils in each block.
        channels: of the features between the blocks; the attention within works on a quarter of them.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        steps: Sequence[int] = (2, 2, 2, 3),
        distilled: Sequence[int] = (24, 24, 24, 12),
        channels: int = 48,
        scale: int = 4,
    ) -> None:
        blocks = [
            RFDB(channels, kept, ESA(channels, channels // 4), dilations=[1] * count, residual=False)
            for count, kept in zip(steps, distilled, strict=True)
        ]
        super().__init__(
            blocks,
            channels=channels,
            scale=scale,
            after_blocks=named(conv=conv(channels, channels), attention=PixelAttention(channels)),
        )
