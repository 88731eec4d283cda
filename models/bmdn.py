"""BMDN by team NWPU_SweetDreamLab: a narrow RFDN with a bridge from each kept part to the next step.

New in it: what a step keeps also passes a 3×3 convolution into the refinement beside it; the first refinement
halves the channels, so that all later ones are narrow.

Not ranked: its PSNR is not on par with the baseline's.
"""

from torch import Tensor, nn

from esr.models.blocks.attention import ESA
from esr.models.blocks.containers import numbered
from esr.models.blocks.convolution import conv
from esr.models.blocks.inplace import add
from esr.models.blocks.narrow_distillation import NarrowDistillation
from esr.models.blocks.trunk import RFDNTrunk


class BMDB(NarrowDistillation):
    """Narrow distillation with a bridge beside each refinement."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, attention=ESA(channels, channels // 4), activation=nn.ReLU(inplace=True))
        distilled = channels // 2
        self.bridge = numbered(conv(distilled, distilled) for _ in self.refine)

    def refined(self, refine: nn.Module, x: Tensor, parts: list[Tensor]) -> Tensor:
        """Adds what the step's bridge makes of its part."""
        bridge = self.bridge[len(parts) - 1]
        return add(super().refined(refine, x, parts), bridge(parts[-1]))


class BMDN(RFDNTrunk):
    """Images in the range 0 to 1.

    Args:
        channels: of the features between the blocks.
        blocks: how many.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 40, blocks: int = 4, scale: int = 4) -> None:
        super().__init__(
            [BMDB(channels) for _ in range(blocks)],
            channels=channels,
            scale=scale,
            activation=nn.ReLU(inplace=True),
        )
