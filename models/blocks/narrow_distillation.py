"""Feature distillation at half a block's width."""

from collections.abc import Callable

from torch import Tensor, nn

from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import FeatureDistillation
from esr.models.blocks.inplace import add

STEPS = 3


class NarrowDistillation(FeatureDistillation):
    """Three steps, of which the first halves the channels and all later ones stay narrow.

    Args:
        channels: of input and output.
        attention: rescales the fused features.
        activation: after each convolution but the fusion; one module, shared.
        refine: makes a step's refinement from its numbers of input and output channels.
    """

    def __init__(
        self,
        channels: int,
        *,
        attention: nn.Module,
        activation: nn.Module,
        refine: Callable[[int, int], nn.Module] = conv,
    ) -> None:
        distilled = channels // 2
        widths = [channels] + (STEPS - 1) * [distilled]
        super().__init__(
            distill=[conv(width, distilled, 1) for width in widths],
            refine=[refine(width, distilled) for width in widths],
            last=conv(distilled, distilled),
            fuse=conv((STEPS + 1) * distilled, channels, 1),
            attention=attention,
            activation=activation,
        )

    def refined(self, refine: nn.Module, x: Tensor, parts: list[Tensor]) -> Tensor:
        """Adds a step's input in all steps but the first, whose input is wider than its refinement."""
        features: Tensor = refine(x)
        return add(features, x) if len(parts) > 1 else features
