"""BMDN by team NWPU_SweetDreamLab: a narrow RFDN with a bridge from each distilled part to the next step.

New: the part that a step distils also passes a 3×3 convolution into the refinement beside it. The first refinement
halves the channels, so all later ones are narrow.

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
        distilled_channels = channels // 2
        self.bridge = numbered(conv(distilled_channels, distilled_channels) for _ in self.refine)

    def refine_step(self, refine: nn.Module, x: Tensor, parts: list[Tensor]) -> Tensor:
        """Adds the output of the step's bridge."""
        bridge = self.bridge[len(parts) - 1]
        return add(super().refine_step(refine, x, parts), bridge(parts[-1]))


class BMDN(RFDNTrunk):
    """Images in the range 0 to 1.

    Args:
        channels: number of channels of the features between the blocks.
        num_blocks: number of blocks.
        scale: upscaling factor.
    """

    def __init__(self, *, channels: int = 40, num_blocks: int = 4, scale: int = 4) -> None:
        super().__init__(
            [BMDB(channels) for _ in range(num_blocks)],
            channels=channels,
            scale=scale,
            activation=nn.ReLU(inplace=True),
        )
