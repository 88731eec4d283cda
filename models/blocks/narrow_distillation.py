"""Feature distillation at half a block's width."""

from collections.abc import Callable

from torch import Tensor, nn

from esr.models.blocks.convolution import conv
from esr.models.blocks.distillation import FeatureDistillation
from esr.models.blocks.inplace import add

STEPS = 3


class NarrowDistillation(FeatureDistillation):
    """Three steps; the first halves the channels, and the later ones stay narrow.

    Args:
        channels: number of channels of input and output.
        attention: rescales the fused features.
        activation: after each convolution but the fusion; one shared module.
        refine: creates a step's refinement from its numbers of input and output channels.
    """

    def __init__(
        self,
        channels: int,
        *,
        attention: nn.Module,
        activation: nn.Module,
        refine: Callable[[int, int], nn.Module] = conv,
    ) -> None:
        distilled_channels = channels // 2
        widths = [channels] + (STEPS - 1) * [distilled_channels]
        super().__init__(
            distill=[conv(width, distilled_channels, 1) for width in widths],
            refine=[refine(width, distilled_channels) for width in widths],
            last=conv(distilled_channels, distilled_channels),
            fuse=conv((STEPS + 1) * distilled_channels, channels, 1),
            attention=attention,
            activation=activation,
        )

    def refine_step(self, refine: nn.Module, x: Tensor, parts: list[Tensor]) -> Tensor:
        """Adds a step's input, except in the first step, whose input is wider than its refinement."""
        features: Tensor = refine(x)
        return add(features, x) if len(parts) > 1 else features
