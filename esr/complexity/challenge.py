"""Operations and activations of one module call, by the definition of the NTIRE 2022 challenge's script.

The script hooks modules of the types below and misses everything else: functional calls, matrix products, attention
and other activations count as 0.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from torch import Tensor, nn

ACTIVATIONS = (nn.ReLU, nn.PReLU, nn.ELU, nn.LeakyReLU, nn.ReLU6)
CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)
MULTIPLYING = (*CONVOLUTIONS, nn.Linear)
"""Modules whose multiply-accumulates the script intends to count."""


def flops(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any) -> int:
    """Operations of one call; a multiply-accumulate counts as one, a bias as none.

    Convolutions, transposed ones too: kernel area · in_channels · out_channels / groups · output positions.
    Batch normalisation: one operation per output element, two if affine; the listed activations: one.
    `Linear`: batch · input.shape[1] · output.shape[1], which is correct for N×C input only.

    Args:
        module: the module called.
        args: its positional arguments.
        kwargs: its keyword arguments.
        output: its result; anything but a tensor counts as 0.
    """
    if not isinstance(output, Tensor):
        return 0
    if isinstance(module, CONVOLUTIONS):
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


def _linear(inputs: Tensor, output: Tensor) -> int:
    """The script fails on an input without a batch, which counts as a batch of one here."""
    if inputs.dim() == 1:
        return inputs.numel() * output.numel()
    return int(inputs.shape[0] * inputs.shape[1] * output.shape[1])
