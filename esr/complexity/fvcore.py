"""FLOPs as fvcore counts them, which the challenges since 2024 print: a multiply-accumulate is one operation.

fvcore follows a trace of the network and knows the operators below. An operator made of others counts as a whole or not
at all: fused attention, a recurrent layer or a tensor product count as 0, as does a convolution with `padding="same"`,
and normalisation and interpolation count several operations per element. `esr.complexity.flow` leaves out operators
whose result never reaches the output, which a trace drops.

The definition is kept here and not taken from fvcore, whose last release is of 2022 and needs PyTorch's deprecated
tracer, which costs a second pass and does not run without values.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from torch import Tensor

from esr.complexity.operators import Formula, is_aten


def _convolution(arguments: Sequence[Any], result: Tensor) -> int:
    """The weight at each output position."""
    weight = arguments[1]
    spatial = weight.dim() - 2
    return _positions(arguments[0], spatial) * int(weight.numel() * prod(result.shape[-spatial:]))


def _transposed_convolution(arguments: Sequence[Any], _: Tensor) -> int:
    """The weight at each input position."""
    weight = arguments[1]
    spatial = weight.dim() - 2
    return _positions(arguments[0], spatial) * int(weight.numel() * prod(arguments[0].shape[-spatial:]))


def _positions(images: Tensor, spatial: int) -> int:
    """The batch's size; an image without a batch is one."""
    return images.shape[0] if images.dim() > spatial + 1 else 1


def _raw_convolution(arguments: Sequence[Any], result: Tensor) -> int:
    """`aten.convolution`, whose seventh argument says whether it is transposed."""
    return (_transposed_convolution if arguments[6] else _convolution)(arguments, result)


def _matmul(arguments: Sequence[Any], _: Tensor) -> int:
    """The left factor once for each column of the right one, a vector being one column."""
    left, right = arguments[:2]
    return int(left.numel() * (right.shape[-1] if right.dim() > 1 else 1))


def _norm(weight: int) -> Formula:
    """Four operations per element, five with a weight, which stands at this place among the arguments."""
    return lambda arguments, _: arguments[0].numel() * (4 if _argument(arguments, weight) is None else 5)


def _batch_norm(arguments: Sequence[Any], result: Tensor) -> int:
    if _argument(arguments, 5):
        return _norm(1)(arguments, result)
    return int(arguments[0].numel() * (1 if _argument(arguments, 1) is None else 2))


def _argument(arguments: Sequence[Any], index: int) -> Any:
    return arguments[index] if index < len(arguments) else None


def _einsum(arguments: Sequence[Any], _: Tensor) -> int:
    """Multiply-accumulates of the best order of contraction, to the four digits that NumPy prints of them.

    Two frequent batched products are exact.
    """
    equation, operands = arguments[0].replace(" ", ""), arguments[1]
    shapes = [tuple(operand.shape) for operand in operands]
    letters = {letter: chr(97 + place) for place, letter in enumerate(dict.fromkeys(filter(str.isalpha, equation)))}
    plain = "".join(letters.get(letter, letter) for letter in equation)
    if plain == "abc,abd->acd":
        return int(prod(shapes[0]) * shapes[1][2])
    if plain == "abc,adc->adb":
        return int(prod(shapes[0]) * shapes[1][1])
    stand_ins = [np.broadcast_to(np.zeros(()), shape) for shape in shapes]
    report = str(np.einsum_path(plain, *stand_ins, optimize="optimal")[1])
    line = next(line for line in report.splitlines() if "optimized flop" in line.lower())
    return int(float(line.rpartition(":")[2]) / 2)


FORMULAS: dict[str, Formula] = {
    **{f"conv{sides}d": _convolution for sides in (1, 2, 3)},
    **{f"conv_transpose{sides}d": _transposed_convolution for sides in (1, 2, 3)},
    **dict.fromkeys(("convolution", "_convolution"), _raw_convolution),
    "linear": lambda arguments, _: int(arguments[0].numel() * arguments[1].shape[0]),
    **dict.fromkeys(("matmul", "mm", "bmm"), _matmul),
    "addmm": lambda arguments, _: int(arguments[1].numel() * arguments[2].shape[1]),
    "einsum": _einsum,
    "batch_norm": _batch_norm,
    "instance_norm": _norm(1),
    **dict.fromkeys(("group_norm", "layer_norm"), _norm(2)),
    "adaptive_avg_pool2d": lambda arguments, _: int(arguments[0].numel()),
    "upsample_nearest2d": lambda _, result: result.numel(),
    **dict.fromkeys(("upsample_bilinear2d", "grid_sampler"), lambda _, result: 4 * result.numel()),
}
"""ATen operator, without overload -> its operations; all others count as 0."""

_TEXT_PADDING = "padding"
"""Overload of a convolution with `padding="same"` or `"valid"`, which fvcore does not know."""


def flops(operator: Any, arguments: Sequence[Any], result: Any) -> int:
    """Operations of one call that the network made itself, not one that is part of another operator.

    >>> import torch
    >>> flops(torch.ops.aten.linear.default, [torch.ones(2, 3), torch.ones(5, 3)], torch.ones(2, 5))
    30
    """
    if not is_aten(operator) or operator._overloadname == _TEXT_PADDING:
        return 0
    formula = FORMULAS.get(operator.overloadpacket._qualified_op_name.removeprefix("aten::"))
    return formula(arguments, result) if formula else 0
