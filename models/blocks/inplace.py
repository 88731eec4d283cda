"""Element-wise operators that reuse memory where autograd allows it.

Each overwrites an argument to which nothing else may refer, such as the fresh output of a convolution. While
gradients are recorded they allocate instead, so that the network can be trained.
"""

import torch
from torch import Tensor


def add(features: Tensor, skip: Tensor) -> Tensor:
    """`features + skip`, overwriting `features`.

    >>> import torch
    >>> add(torch.ones(2), torch.ones(2))
    tensor([2., 2.])
    """
    return features + skip if features.requires_grad else features.add_(skip)


def gate(features: Tensor, logits: Tensor) -> Tensor:
    """`features * sigmoid(logits)`, overwriting `logits`, which have the shape of `features`.

    >>> import torch
    >>> gate(torch.full((2,), 4.0), torch.zeros(2))
    tensor([2., 2.])
    """
    return features * logits.sigmoid() if logits.requires_grad else logits.sigmoid_().mul_(features)


def rescale(features: Tensor, factors: Tensor) -> Tensor:
    """`features * factors`, overwriting `features`; the factors are broadcast.

    >>> import torch
    >>> rescale(torch.full((2,), 4.0), torch.tensor(0.5))
    tensor([2., 2.])
    """
    return features * factors if features.requires_grad else features.mul_(factors)


def add_product(features: Tensor, skip: Tensor, factors: Tensor) -> Tensor:
    """`features + skip * factors`, overwriting `features`; the factors are broadcast.

    >>> import torch
    >>> add_product(torch.ones(2), torch.full((2,), 4.0), torch.tensor(0.5))
    tensor([3., 3.])
    """
    if features.requires_grad:
        return torch.addcmul(features, skip, factors)
    return features.addcmul_(skip, factors)
