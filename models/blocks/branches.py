"""Parallel branches over the same features, and the ways to combine them."""

from collections.abc import Iterable

from torch import Tensor, nn

from esr.models.blocks.distillation import concatenate
from esr.models.blocks.inplace import add, gate


class Residual(nn.Module):
    """The sum of a module's output and its input; the module returns a fresh tensor of its input's shape.

    >>> import torch
    >>> Residual(nn.Conv2d(2, 2, 1))(torch.zeros(1, 2, 4, 4)).shape
    torch.Size([1, 2, 4, 4])
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W -> the same shape."""
        return add(self.inner(x), x)


class Summed(nn.Module):
    """The sum of two branches; the first returns a fresh tensor."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = second

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W -> the shape of either branch's output."""
        return add(self.first(x), self.second(x))


class Concatenated(nn.ModuleList):
    """Branches side by side along the channels, in their order."""

    def __init__(self, branches: Iterable[nn.Module]) -> None:
        super().__init__(branches)

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W -> N×(the branches' channels)×H×W."""
        return concatenate([branch(x) for branch in self])


class Gated(nn.Module):
    """Features of the input, rescaled by the sigmoid of other features of the input.

    Args:
        features: N×C×H×W -> N×D×H×W.
        logits: N×C×H×W -> a fresh tensor of the same shape as the features.
    """

    def __init__(self, *, features: nn.Module, logits: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.logits = logits

    def forward(self, x: Tensor) -> Tensor:
        """N×C×H×W -> N×D×H×W."""
        logits = self.logits(x)
        return gate(self.features(x), logits)
