"""Information distillation: features are refined in steps, each of which distils a part for the block's end."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from esr.models.blocks.containers import numbered
from esr.models.blocks.inplace import add


def concatenate(features: list[Tensor]) -> Tensor:
    """Joins features along the channels and empties the list, so that the parts are freed at once.

    >>> parts = [torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 4, 4)]
    >>> concatenate(parts).shape, parts
    (torch.Size([1, 5, 4, 4]), [])
    """
    joined = torch.cat(features, dim=1)
    features.clear()
    return joined


def chain(modules: Iterable[nn.Module], x: Tensor) -> list[Tensor]:
    """The outputs of modules in a chain; the first one's input is `x`."""
    outputs: list[Tensor] = []
    for module in modules:
        x = module(x)
        outputs.append(x)
    return outputs


def interleave(features: list[Tensor]) -> Tensor:
    """Joins features of one shape by taking the first channel of each, the second of each, …, and empties the list.

    Known as a shuffle of the concatenated channels (ShuffleNet, Zhang et al., CVPR 2018).

    >>> parts = [torch.zeros(1, 2, 1, 1), torch.ones(1, 2, 1, 1)]
    >>> interleave(parts).flatten(), parts
    (tensor([0., 1., 0., 1.]), [])
    """
    joined = torch.stack(features, dim=2).flatten(1, 2)
    features.clear()
    return joined


class SplitDistillation(nn.Module):
    """Distils the first channels of each step and refines the others (IMDN, Hui et al., ACM MM 2019).

    Variants override `refine_step` to add to a step's result, or `join_parts` to join the parts differently.

    Args:
        refine: one module per step; the first refines the block's input, each other the channels not yet distilled.
        last: from the channels that the last step leaves to the last part.
        fuse: from the joined parts to the block's output, before the skip connection.
        distilled_channels: number of channels that each step distils.
        activation: after each step, before the split; one shared module.
    """

    def __init__(
        self,
        *,
        refine: Iterable[nn.Module],
        last: nn.Module,
        fuse: nn.Module,
        distilled_channels: int,
        activation: nn.Module,
    ) -> None:
        super().__init__()
        self.refine = numbered(refine)
        self.last = last
        self.fuse = fuse
        self.distilled_channels = distilled_channels
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W -> the same shape."""
        parts: list[Tensor] = []
        features = rest = x
        for refine in self.refine:
            features = self.activation(self.refine_step(refine, rest, features))
            part, rest = features.split([self.distilled_channels, features.shape[1] - self.distilled_channels], dim=1)
            parts.append(part)
        parts.append(self.last(rest))
        del features, part, rest
        return self.join_parts(parts, x)

    def refine_step(self, refine: nn.Module, rest: Tensor, features: Tensor) -> Tensor:  # noqa: ARG002 - for overrides
        """A step's result before its activation.

        Args:
            refine: the step's module.
            rest: channels left by the previous step, initially the block's input; must not be overwritten.
            features: all channels of the previous step, initially the block's input; must not be overwritten.
        """
        refined: Tensor = refine(rest)
        return refined

    def join_parts(self, parts: list[Tensor], x: Tensor) -> Tensor:
        """The block's output.

        Args:
            parts: distilled parts in the order of the steps.
            x: the block's input; must not be overwritten.
        """
        return add(self.fuse(concatenate(parts)), x)


class HandOver(nn.Module):
    """Wraps its input in a list, from which the next module takes it, so that it can free the input early.

    >>> HandOver()(torch.zeros(1))
    [tensor([0.])]
    """

    def forward(self, x: Tensor) -> list[Tensor]:
        """Any shape -> a list of that tensor."""
        return [x]


class FeatureDistillation(nn.Module):
    """Distils with 1×1 convolutions beside the refinement (RFDN, Liu et al., ECCV workshops 2020).

    Variants override `refine_step` to add something other than the step's input.

    Args:
        distill: one module per step, from the step's input to its part.
        refine: one module per step, from the step's input to the next step's.
        last: from the most refined features to the last part.
        fuse: from the joined parts to features of the block's width.
        attention: rescales the fused features.
        activation: after each convolution but `fuse`; one shared module.
        residual: True if a step's input is added to its refinement.
    """

    def __init__(
        self,
        *,
        distill: Iterable[nn.Module],
        refine: Iterable[nn.Module],
        last: nn.Module,
        fuse: nn.Module,
        attention: nn.Module,
        activation: nn.Module,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.distill = numbered(distill)
        self.refine = numbered(refine)
        self.last = last
        self.fuse = fuse
        self.attention = attention
        self.activation = activation
        self.residual = residual

    def forward(self, x: Tensor | list[Tensor]) -> Tensor:
        """N×C×H×W, or a list of one such tensor, which is emptied -> N×C×H×W."""
        features = x.pop() if isinstance(x, list) else x
        parts: list[Tensor] = []
        for distill, refine in zip(self.distill, self.refine, strict=True):
            parts.append(self.activation(distill(features)))
            features = self.activation(self.refine_step(refine, features, parts))
        parts.append(self.activation(self.last(features)))
        del features
        fused = self.fuse(concatenate(parts))
        attended: Tensor = self.attention(fused)
        return attended

    def refine_step(self, refine: nn.Module, x: Tensor, parts: list[Tensor]) -> Tensor:  # noqa: ARG002 - for overrides
        """A step's refinement before its activation.

        Args:
            refine: the step's module.
            x: the step's input; must not be overwritten.
            parts: parts distilled so far, this step's last; must not be overwritten.
        """
        features: Tensor = refine(x)
        return add(features, x) if self.residual else features
