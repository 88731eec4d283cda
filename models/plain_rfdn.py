"""EFDN by team NEESR: the best overall score of the challenge.

New: RFDN with hardly any skip connections, neither in the steps of a block nor from the blocks to the network's end;
few distilled channels; spatial attention that pools at once and processes the result in two parallel views. It is
called plain RFDN here because team NKU-ESR's network is an EFDN as well.
"""

from torch import Tensor, nn

from esr.models.blocks.attention import ESA
from esr.models.blocks.containers import named, numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import HandOver, concatenate
from esr.models.blocks.trunk import ConvTrunk
from esr.models.rfdn import RFDB


class ParallelContext(nn.Module):
    """Low-resolution view of the spatial attention: two parallel views of the pooled features, joined."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(kernel_size=7, stride=7, padding=1)
        self.views = numbered(conv(channels, channels) for _ in range(2))
        self.activation = nn.ReLU(inplace=True)
        self.join = conv(2 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> N×channels×h×w with `h = (H - 5) // 7 + 1`; H and W are at least 5."""
        pooled = self.pool(x)
        joined: Tensor = self.join(concatenate([self.activation(view(pooled)) for view in self.views]))
        return joined


def plain_rfdb(channels: int) -> nn.Sequential:
    """A block without skip connections around its steps: N×channels×H×W -> the same shape."""
    narrow = channels // 4
    return named(
        hand_over=HandOver(),
        distillation=RFDB(channels, narrow, nn.Identity(), residual=False),
        attention=ESA(channels, narrow, context=ParallelContext(narrow)),
    )


class PlainRFDN(ConvTrunk):
    """Images in the range 0 to 255.

    Args:
        channels: number of channels of the features between the blocks; each step of a block distils a quarter of them,
            and the attention works on a quarter.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 42, num_blocks: int = 4, scale: int = 4) -> None:
        super().__init__(numbered(plain_rfdb(channels) for _ in range(num_blocks)), channels=channels, scale=scale)
