"""ResDN by team cipher: dense steps that widen and narrow the features, pre-activated.

New: each step of a block widens the features by a 1×1 convolution, refines the first of the channels, and passes one
part of the others to each later step and to the fusion. The blocks' outputs are merged from the last to the first.
Each convolution of a step is preceded by its activation.
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
    """Three dense steps, a fusion and attention, with a skip connection around them.

    Args:
        channels: number of channels of input and output.
        handed_channels: number of channels that a step hands to each later one, and to the fusion.
        attention_channels: number of channels within the spatial attention.
    """

    def __init__(self, channels: int, handed_channels: int, attention_channels: int) -> None:
        super().__init__()
        self.sizes = [[channels] + (STEPS - step) * [handed_channels] for step in range(STEPS)]
        self.widen = numbered(
            activated(channels + step * handed_channels, sum(sizes), 1) for step, sizes in enumerate(self.sizes)
        )
        self.refine = numbered(activated(channels, channels) for _ in range(STEPS))
        self.fuse = activated(channels + STEPS * handed_channels, channels, 1)
        self.attention = ESA(channels, attention_channels)

    def forward(self, x: Tensor) -> Tensor:
        """N×channels×H×W -> the same shape."""
        features = x
        handed: list[list[Tensor]] = [[] for _ in range(STEPS + 1)]  # to each step, and to the fusion
        for step, (widen, refine, sizes) in enumerate(zip(self.widen, self.refine, self.sizes, strict=True)):
            widened = _joined(features, handed[step])
            for module in parts_of(widen):  # a call of the whole sequence would keep its input alive
                widened = module(widened)
            part, *others = torch.split(widened, sizes, dim=1)
            for later, other in zip(handed[step + 1 :], others, strict=True):
                later.append(other)
            features = add(refine(part), features)
            del widened, part, others, other, later
        joined = _joined(features, handed[-1])
        del features, handed
        fused = self.fuse(joined)
        del joined
        return add(self.attention(fused), x)


def _joined(features: Tensor, handed: list[Tensor]) -> Tensor:
    """The features and the parts that earlier steps handed on, along the channels."""
    return concatenate([features, *handed]) if handed else features


class BackwardFusion(nn.Module):
    """Blocks in a chain, whose outputs are merged from the last to the first.

    Args:
        blocks: run in a chain.
        channels: number of channels of input and output, even; each side of a merger contributes half of them.
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
        channels: number of channels of the features between the blocks.
        handed_channels: number of channels that a step hands to each later one.
        attention_channels: number of channels within the spatial attention.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(
        self,
        *,
        channels: int = 48,
        handed_channels: int = 16,
        attention_channels: int = 12,
        num_blocks: int = 4,
        scale: int = 4,
    ) -> None:
        chain: list[nn.Module] = [
            DenseDistillation(channels, handed_channels, attention_channels) for _ in range(num_blocks)
        ]
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
