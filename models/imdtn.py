"""IMDTN by team ZLZ: IMDN's distillation with a transformer in place of the fusion.

New: grouped convolutions with shuffled groups, each added to all channels of the previous step; two window
transformers, the second with shifted windows, over the joined parts of a block. The challenge's script counts their
fully connected layers as if every pixel met every other, hence the 64 G operations.
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
    """Two window transformers with a skip connection; `window` must divide height and width."""

    def __init__(self, channels: int, num_heads: int, hidden_channels: int, window: int) -> None:
        super().__init__()
        self.layers = swin_pair(channels, num_heads, hidden_channels, window)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        return add(self.layers(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), x)


class IMDTB(SplitDistillation):
    """Information multi-distillation block whose parts are fused by a transformer."""

    def __init__(
        self, channels: int, distilled_channels: int, num_heads: int, hidden_channels: int, window: int
    ) -> None:
        rest = channels - distilled_channels
        super().__init__(
            refine=[conv(channels if step == 0 else rest, channels, groups=GROUPS) for step in range(STEPS)],
            last=conv(rest, distilled_channels),
            fuse=ResidualTransformer(channels, num_heads, hidden_channels, window),
            distilled_channels=distilled_channels,
            activation=nn.LeakyReLU(0.05, inplace=True),
        )

    def refine_step(self, refine: nn.Module, rest: Tensor, features: Tensor) -> Tensor:
        """Adds all channels of the previous step, then shuffles them across the groups of the next."""
        return F.channel_shuffle(add(refine(rest), features), GROUPS)


def mirrored(x: Tensor, window: int) -> Tensor:
    """Pads N×C×H×W below and on the right to multiples of `window`, by 1 to `window` pixels each.

    The border pixels are repeated (symmetric padding).

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
        channels: number of channels of the features between the blocks.
        distilled_channels: number of channels that each step of a block distils.
        num_heads: number of attention heads.
        hidden_channels: number of channels within the transformers' networks for each pixel.
        window: window side in pixels.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        channels: int = 64,
        distilled_channels: int = 16,
        num_heads: int = 2,
        hidden_channels: int = 128,
        window: int = 6,
        num_blocks: int = 3,
        scale: int = 4,
    ) -> None:
        super().__init__(
            [IMDTB(channels, distilled_channels, num_heads, hidden_channels, window) for _ in range(num_blocks)],
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
