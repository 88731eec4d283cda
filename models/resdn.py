"""ResDN by team cipher: dense steps that widen and narrow the features, pre-activated.

New in it: each step of a block widens the features by a 1×1 convolution, refines the first of the channels and
hands one part of the others to every later step, down to the fusion. The blocks' outputs are merged backwards,
the last two first. Each convolution of a step is preceded by its activation.

17th in the main track, 24th and 23rd in the sub-tracks.
"""

import torch
from torch import Tensor, nn

from esr.models.blocks.attention import ESA
from esr.models.blocks.containers import named, numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import concatenate
from esr.models.blocks.inplace import add
from esr.models.blocks.trunk import ChainedTrunk, parts_of
from esr.models.blocks.upsampling import PixelShuffle

STEPS = 3


def activated(in_channels: int, out_channels: int, kernel_size: int = 3) -> nn.Sequential:
    """N×in_channels×H×W -> N×out_channels×H×W."""
    return nn.Sequential(nn.PReLU(in_channels), conv(in_channels, out_channels, kernel_size))


class DenseDistillation(nn.Module):
    """Three steps, a fusion, attention, and a skip connection around them."""

    def __init__(self, channels: int, handed: int, attention: int) -> None:
        super().__init__()
        self.sizes = [[channels] + (STEPS - step) * [handed] for step in range(STEPS)]
        self.widen = numbered(
            activated(channels + step * handed, sum(sizes), 1) for step, sizes in enumerate(self.sizes)
        )
        self.refine = numbered(activated(channels, channels) for _ in range(STEPS))
        self.fuse = activated(channels + STEPS * handed, channels, 1)
        self.attention = ESA(channels, attention)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        features = x
        waiting: list[list[Tensor]] = []
        for widen, refine, sizes in zip(self.widen, self.refine, self.sizes, strict=True):
            widened = self._joined(features, waiting)
            for module in parts_of(widen):  # a call of the whole row would keep its input alive
                widened = module(widened)
            part, *handed = torch.split(widened, sizes, dim=1)
            waiting.append(handed)
            features = add(refine(part), features)
            del widened, part, handed
        fused = self.fuse(self._joined(features, waiting))
        del features
        return add(self.attention(fused), x)

    @staticmethod
    def _joined(features: Tensor, waiting: list[list[Tensor]]) -> Tensor:
        """The features and the part that each earlier step hands to this one, taken from its list."""
        return torch.cat([features, *(handed.pop(0) for handed in waiting)], dim=1) if waiting else features


class BackwardFusion(nn.Module):
    """Blocks in a chain, whose outputs are merged from the last to the first.

    Args:
        blocks: each gets the output of the one before.
        channels: of input and output, even; either side of a merger gives half of them.
    """

    def __init__(self, blocks: list[nn.Module], channels: int) -> None:
        super().__init__()
        mergers = len(blocks) - 1
        self.blocks = numbered(blocks)
        self.earlier = numbered(self._half(channels) for _ in range(mergers))
        self.later = numbered(self._half(channels) for _ in range(mergers))

    @staticmethod
    def _half(channels: int) -> nn.Sequential:
        return nn.Sequential(conv(channels, channels // 2, 1), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        *first, last = self.blocks
        outputs: list[Tensor] = []
        for block, earlier in zip(first, self.earlier, strict=True):
            x = block(x)
            outputs.append(earlier(x))
        x = last(x)
        for later in self.later:
            x = concatenate([later(x), outputs.pop()])
        return x


class ResDN(ChainedTrunk):
    """Images in the range 0 to 1.

    Args:
        channels: of the features between the blocks.
        handed: channels that a step hands to each later one.
        attention: channels within the spatial attention.
        blocks: how many.
        scale: upscaling factor.
    """

    def __init__(
        self, *, channels: int = 48, handed: int = 16, attention: int = 12, blocks: int = 4, scale: int = 4
    ) -> None:
        chain: list[nn.Module] = [DenseDistillation(channels, handed, attention) for _ in range(blocks)]
        super().__init__(
            head=named(shift=conv(3, 3, 1), conv=conv(3, channels)),
            blocks=nn.Sequential(BackwardFusion(chain, channels)),
            after_blocks=nn.Identity(),
            upsampler=named(
                refine=conv(channels, channels),
                expand=conv(channels, 3 * scale**2),
                shuffle=PixelShuffle(scale),
                shift=conv(3, 3, 1),
            ),
        )
