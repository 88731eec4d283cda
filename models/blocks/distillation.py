"""Information distillation: features are refined in steps, and a part of each is kept for the end."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from esr.models.blocks.containers import numbered
from esr.models.blocks.inplace import add


def concatenate(features: list[Tensor]) -> Tensor:
    """Joins features along the channels and empties the list, so that the parts can be freed at once.

    >>> parts = [torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 4, 4)]
    >>> concatenate(parts).shape, parts
    (torch.Size([1, 5, 4, 4]), [])
    """
    joined = torch.cat(features, dim=1)
    features.clear()
    return joined


def chain(modules: Iterable[nn.Module], x: Tensor) -> list[Tensor]:
    """The outputs of modules each of which gets the output of the one before; the first gets `x`."""
    outputs: list[Tensor] = []
    for module in modules:
        x = module(x)
        outputs.append(x)
    return outputs


def interleave(features: list[Tensor]) -> Tensor:
    """Joins features of one shape, first channel of each, second channel of each, …, and empties the list.

    What is known as a shuffle of the concatenated channels (ShuffleNet, Zhang et al., CVPR 2018).

    >>> parts = [torch.zeros(1, 2, 1, 1), torch.ones(1, 2, 1, 1)]
    >>> interleave(parts).flatten(), parts
    (tensor([0., 1., 0., 1.]), [])
    """
    joined = torch.stack(features, dim=2).flatten(1, 2)
    features.clear()
    return joined


class SplitDistillation(nn.Module):
    """Keeps the first channels of each step and refines the others (IMDN, Hui et al., ACM MM 2019).

    A variant that adds something to a step's result overrides `refined`, one that joins the parts in another
    way overrides `joined`.

    Args:
        refine: one module a step; the first gets the block's input, each other what the one before left over.
        last: makes the last part from what the last step left over.
        fuse: joins the parts to the block's output.
        kept: channels that each step gives away.
        activation: after each step, before the split; one module, shared.
    """

    def __init__(
        self,
        *,
        refine: Iterable[nn.Module],
        last: nn.Module,
        fuse: nn.Module,
        kept: int,
        activation: nn.Module,
    ) -> None:
        super().__init__()
        self.refine = numbered(refine)
        self.last = last
        self.fuse = fuse
        self.kept = kept
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W -> the same shape."""
        parts: list[Tensor] = []
        features = rest = x
        for refine in self.refine:
            features = self.activation(self.refined(refine, rest, features))
            part, rest = features.split([self.kept, features.shape[1] - self.kept], dim=1)
            parts.append(part)
        parts.append(self.last(rest))
        del features, part, rest
        return self.joined(parts, x)

    def refined(self, refine: nn.Module, rest: Tensor, features: Tensor) -> Tensor:  # noqa: ARG002 - for overrides
        """What a step gives to its activation.

        Args:
            refine: the step's module.
            rest: what the step before left over, at first the block's input; not to be overwritten.
            features: all channels of the step before, at first the block's input; not to be overwritten.
        """
        refined: Tensor = refine(rest)
        return refined

    def joined(self, parts: list[Tensor], x: Tensor) -> Tensor:
        """The block's output.

        Args:
            parts: what was kept, in the order of the steps.
            x: the block's input; not to be overwritten.
        """
        return add(self.fuse(concatenate(parts)), x)


class HandOver(nn.Module):
    """Puts its input in a list, from which the module that comes next takes it: only so can that one free it.

    >>> HandOver()(torch.zeros(1))
    [tensor([0.])]
    """

    def forward(self, x: Tensor) -> list[Tensor]:
        """Any shape."""
        return [x]


class FeatureDistillation(nn.Module):
    """Distils with 1×1 convolutions beside the refinement (RFDN, Liu et al., ECCV workshops 2020).

    A variant that adds something else to the refinement overrides `refined`.

    Args:
        distill: one module a step, from the step's input to the part that is kept.
        refine: one module a step, from the step's input to the next one's.
        last: makes the last part from the most refined features.
        fuse: joins the parts to features of the block's width.
        attention: rescales the fused features.
        activation: after each convolution but `fuse`; one module, shared.
        residual: whether a step's input is added to its refinement.
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
        """N×C×H×W, or a list of that alone, which is emptied -> the same shape."""
        features = x.pop() if isinstance(x, list) else x
        parts: list[Tensor] = []
        for distill, refine in zip(self.distill, self.refine, strict=True):
            parts.append(self.activation(distill(features)))
            features = self.activation(self.refined(refine, features, parts))
        parts.append(self.activation(self.last(features)))
        del features
        fused = self.fuse(concatenate(parts))
        attended: Tensor = self.attention(fused)
        return attended

    def refined(self, refine: nn.Module, x: Tensor, parts: list[Tensor]) -> Tensor:  # noqa: ARG002 - for overrides
        """What a step hands to the next one, before its activation.

        Args:
            refine: the step's module.
            x: the step's input; not to be overwritten.
            parts: what was kept so far, this step's part last; not to be overwritten.
        """
        features: Tensor = refine(x)
        return add(features, x) if self.residual else features
