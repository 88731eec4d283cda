"""IMDTN by team ZLZ: IMDN's distillation with a transformer in place of the fusion.

New in it: grouped convolutions whose groups are shuffled, each added to all channels of the step before; two
window transformers, the second with shifted windows, that see the joined parts of a block. The challenge's
script counts their fully connected layers as if each pixel met every other, hence the 64 G operations.

Main track 31st, sub-tracks 29th and 26th.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import SplitDistillation
from esr.models.blocks.inplace import add
from esr.models.blocks.trunk import RFDNTrunk
from esr.models.blocks.windows import swin_pair

STEPS = 3
GROUPS = 4


class ResidualTransformer(nn.Module):
    """Two window transformers and a skip connection around them; `window` divides height and width."""

    def __init__(self, channels: int, heads: int, hidden: int, window: int) -> None:
        super().__init__()
        self.layers = swin_pair(channels, heads, hidden, window)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        return add(self.layers(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), x)


class IMDTB(SplitDistillation):
    """An information multi-distillation block whose parts meet in a transformer."""

    def __init__(self, channels: int, kept: int, heads: int, hidden: int, window: int) -> None:
        rest = channels - kept
        super().__init__(
            refine=[conv(channels if step == 0 else rest, channels, groups=GROUPS) for step in range(STEPS)],
            last=conv(rest, kept),
            fuse=ResidualTransformer(channels, heads, hidden, window),
            kept=kept,
            activation=nn.LeakyReLU(0.05, inplace=True),
        )

    def refined(self, refine: nn.Module, rest: Tensor, features: Tensor) -> Tensor:
        """Adds all channels of the step before, then lets the groups of the next step see all of this one's."""
        return F.channel_shuffle(add(refine(rest), features), GROUPS)


def mirrored(x: Tensor, window: int) -> Tensor:
    """Pads N×C×H×W below and on the right to multiples of `window`, by 1 to `window` pixels each.

    The border is a mirror: its pixels stand twice.

    >>> mirrored(torch.arange(3.0).expand(1, 1, 3, 3), 4)[0, 0, 0]
    tensor([0., 1., 2., 2.])
    """
    for dim in (2, 3):
        length = x.shape[dim]
        missing = window - length % window
        x = torch.cat([x, x.narrow(dim, length - missing, missing).flip(dim)], dim=dim)
    return x


class IMDTN(RFDNTrunk):
    """Images in the range 0 to 1, at least as high and wide as the windows.

    Args:
        channels: of the features between the blocks.
        kept: channels that each step of a block distils.
        heads: of the attention.
        hidden: channels within the transformers' networks for each pixel.
        window: side of the windows, pixels.
        blocks: how many.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        channels: int = 64,
        kept: int = 16,
        heads: int = 2,
        hidden: int = 128,
        window: int = 6,
        blocks: int = 3,
        scale: int = 4,
    ) -> None:
        super().__init__(
            [IMDTB(channels, kept, heads, hidden, window) for _ in range(blocks)],
            channels=channels,
            scale=scale,
        )
        self.window = window
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """N×3×H×W -> N×3×scale·H×scale·W."""
        height, width = x.shape[-2:]
        image = super().forward(mirrored(x, self.window))
        return image[..., : self.scale * height, : self.scale * width]
