"""Element-wise operators that reuse memory where autograd allows it.

Both overwrite an argument that nothing else may refer to: the fresh output of a convolution, say. While
gradients are recorded they allocate instead, so that the same network can be trained.
"""

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
