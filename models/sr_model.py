"""SR_model by team Alpan Team: enhanced spatial attention after every convolution.

New: RFDN's shallow residual blocks without distillation. Each of a block's three is followed by attention of its own;
the block's input and all three results are joined in full, and attention ends the block as in RFDN. At 32 channels this
makes 16 attentions, which hold most of the 132 convolutions.
"""

from torch import Tensor, nn

from esr.models.blocks.attention import ESA
from esr.models.blocks.branches import Residual
from esr.models.blocks.containers import named, numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import chain, concatenate
from esr.models.blocks.trunk import RFDNTrunk

STEPS = 3


class AttentiveBlock(nn.Module):
    """Residual convolutions with attention, joined with the block's input, and attention again."""

    def __init__(self, channels: int, attention_channels: int) -> None:
        super().__init__()
        self.refine = numbered(
            named(
                residual=Residual(conv(channels, channels)),
                activation=nn.LeakyReLU(0.05, inplace=True),
                attention=ESA(channels, attention_channels),
            )
            for _ in range(STEPS)
        )
        self.fuse = conv((STEPS + 1) * channels, channels, 1)
        self.attention = ESA(channels, attention_channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        fused = self.fuse(concatenate([x, *chain(self.refine, x)]))
        attended: Tensor = self.attention(fused)
        return attended


class SRModel(RFDNTrunk):
    """Images in the range 0 to 1.

    Args:
        channels: number of channels of all features outside the attentions.
        attention_channels: number of channels within each spatial attention.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(
        self, *, channels: int = 32, attention_channels: int = 16, num_blocks: int = 4, scale: int = 4
    ) -> None:
        super().__init__(
            [AttentiveBlock(channels, attention_channels) for _ in range(num_blocks)],
            channels=channels,
            scale=scale,
        )
