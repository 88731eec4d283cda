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


class SplitDistillation(nn.Module):
    """Keeps the first channels of each step and refines the others (IMDN, Hui et al., ACM MM 2019).

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
        rest = x
        for refine in self.refine:
            features = self.activation(refine(rest))
            part, rest = features.split([self.kept, features.shape[1] - self.kept], dim=1)
            parts.append(part)
        parts.append(self.last(rest))
        del features, part, rest
        return add(self.fuse(concatenate(parts)), x)


class FeatureDistillation(nn.Module):
    """Distils with 1×1 convolutions beside the refinement (RFDN, Liu et al., ECCV workshops 2020).

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

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W -> the same shape."""
        parts: list[Tensor] = []
        for distill, refine in zip(self.distill, self.refine, strict=True):
            parts.append(self.activation(distill(x)))
            x = self.activation(add(refine(x), x) if self.residual else refine(x))
        parts.append(self.activation(self.last(x)))
        del x
        fused = self.fuse(concatenate(parts))
        attended: Tensor = self.attention(fused)
        return attended
