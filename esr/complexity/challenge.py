"""What the challenge's script counts for one call of one module.

The script puts hooks on modules of the types below and sees nothing else: functional calls, matrix products,
attention and activations of other types count nothing (NTIRE 2022 efficient super-resolution challenge).
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from torch import Tensor, nn

ACTIVATIONS = (nn.ReLU, nn.PReLU, nn.ELU, nn.LeakyReLU, nn.ReLU6)
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
MULTIPLYING = (*CONVOLUTIONS, nn.Linear)
"""Modules whose multiply-accumulates the script means to count."""


def flops(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any) -> int:
    """Operations of one call, as the script counts them: a multiply-accumulate is one, a bias none.

    Convolutions, transposed ones too: kernel area · in_channels · out_channels / groups · output positions.
    Batch normalisation: one operation an output element, two if affine; the listed activations: one.
    `Linear`: batch · input.shape[1] · output.shape[1], which is right for N×C input alone.

    Args:
        module: that was called.
        args: its positional arguments.
        kwargs: its keyword arguments.
        output: its result; anything but a tensor counts nothing.
    """
    if not isinstance(output, Tensor):
        return 0
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        positions = output.numel() // output.shape[-3]
        filters = module.in_channels * module.out_channels // module.groups
        return prod(module.kernel_size) * filters * positions
    if isinstance(module, nn.BatchNorm2d):
        return output.numel() * (2 if module.affine else 1)
    if isinstance(module, ACTIVATIONS):
        return output.numel()
    if isinstance(module, nn.Linear):
        return _linear(args[0] if args else kwargs["input"], output)
    return 0


def is_convolution(module: nn.Module, output: Any) -> bool:
    """Whether one call of a module counts as a convolution: 2-d ones, transposed or not, that put out a tensor."""
    return isinstance(module, CONVOLUTIONS) and isinstance(output, Tensor)


def activations(module: nn.Module, output: Any) -> int:
    """Elements that a convolution puts out in one call; other modules count none."""
    return output.numel() if is_convolution(module, output) else 0


def _linear(inputs: Tensor, output: Tensor) -> int:
    """The script fails on an input without a batch; here it counts as a batch of one."""
    if inputs.dim() == 1:
        return inputs.numel() * output.numel()
    return int(inputs.shape[0] * inputs.shape[1] * output.shape[1])
