"""RFDNeXt by team SSL: RFDN that ends its blocks like ConvNeXt instead of with attention.

New: the fusion is followed by a depthwise 7×7 convolution and two 1×1 convolutions that widen the features fourfold and
narrow them again, with a skip connection around the three (Liu et al., "A ConvNet for the 2020s", CVPR 2022,
arXiv:2201.03545, without its normalisation). The first refinement halves the channels; there are few activations.

Not ranked: its PSNR is not on par with the baseline's.
"""

from torch import Tensor, nn

from esr.models.blocks.branches import Residual
from esr.models.blocks.containers import named
from esr.models.blocks.convolution import conv
from esr.models.blocks.inplace import add
from esr.models.blocks.narrow_distillation import NarrowDistillation
from esr.models.blocks.trunk import RFDNTrunk

WIDENING = 4


def activation() -> nn.LeakyReLU:
    """The network's only kind of activation."""
    return nn.LeakyReLU(0.05, inplace=True)


def convnext(channels: int) -> Residual:
    """N×channels×H×W -> the same shape, with a receptive field of 7×7 pixels."""
    widened = WIDENING * channels
    return Residual(
        named(
            depthwise=conv(channels, channels, 7, groups=channels),
            widen=conv(channels, widened, 1),
            activation=activation(),
            narrow=conv(widened, channels, 1),
        )
    )


class RFDNeXtBlock(NarrowDistillation):
    """Narrow distillation with activations only before the last part and before the fusion."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, attention=convnext(channels), activation=nn.Identity())
        self.last = named(activation=activation(), conv=self.last)
        self.fuse = named(activation=activation(), conv=self.fuse)

    def refine_step(self, refine: nn.Module, x: Tensor, parts: list[Tensor]) -> Tensor:
        """Adds the step's input or, in the first step, its part, which is as narrow as the refinement."""
        return add(refine(x), parts[0] if len(parts) == 1 else x)


class RFDNeXt(RFDNTrunk):
    """Images in the range 0 to 1.

    Args:
        channels: number of channels of the features between the blocks.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 50, num_blocks: int = 4, scale: int = 4) -> None:
        super().__init__([RFDNeXtBlock(channels) for _ in range(num_blocks)], channels=channels, scale=scale)
