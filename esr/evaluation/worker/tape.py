"""A tape: one forward pass as a list of operators, with all numbers that they were given besides the input.

The network's worker records it; a process without the network's code replays it.
"""

import math
from collections.abc import Callable, Mapping, ValuesView
from types import NoneType
from typing import Annotated, Any, Literal, TypeAlias, Union

import msgspec
import torch
from msgspec import Meta
from torch import Tensor

MOST_BYTES = 1 << 31
"""Of all contents."""
NUMBER_BYTES = 4
"""Of a number as parameters hold it."""
DTYPES = {str(one): one for one in vars(torch).values() if isinstance(one, torch.dtype)}
"""Name -> type."""
_WORDS = (torch.dtype, torch.layout, torch.memory_format)
NAMES: Mapping[str, Any] = {str(one): one for one in vars(torch).values() if isinstance(one, _WORDS)}
"""Name -> type, layout or memory format."""
_Number: TypeAlias = Annotated[int, Meta(ge=0)]
TensorRole: TypeAlias = Literal["input", "parameter", "buffer", "other"]


class Unrecordable(Exception):  # noqa: N818 - a result of recording, to be reported
    """A pass that operators and numbers alone do not describe."""


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """A part of a tape."""


class Ref(_Part, frozen=True, tag="tensor"):
    """An earlier tensor, by its number."""

    number: _Number


class Named(_Part, frozen=True, tag="named"):
    """A type, layout or memory format."""

    name: str


class OnDevice(_Part, frozen=True, tag="device"):
    """The device that the pass runs on, or the CPU."""

    on_cpu: bool


class Complex(_Part, frozen=True, tag="complex"):
    """A complex number."""

    real: float
    imag: float


class Items(_Part, frozen=True, tag="list"):
    """Several arguments in one."""

    items: tuple["Value", ...]


Value: TypeAlias = Union[bool, int, float, str, Ref, Named, OnDevice, Complex, Items, None]  # noqa: UP007 - for msgspec


class Extent(_Part, frozen=True):
    """The part of a storage that a tensor is."""

    dtype: str
    shape: tuple[_Number, ...]
    stride: tuple[_Number, ...]
    offset: _Number


class Given(_Part, frozen=True, tag="given"):
    """A tensor that no operator of the pass made."""

    number: _Number
    role: TensorRole
    storage: _Number
    """Index of its contents among the tape's; of no meaning for the input."""
    extent: Extent
    layout: str = "torch.strided"
    """The one that it has; contents and extent are those of its dense copy."""
    scale: tuple[float, int] | None = None
    """Of a quantised tensor, with its zero point; contents and extent are those of its integers."""


class View(_Part, frozen=True, tag="view"):
    """A tensor that shares the storage of an earlier one, and that no operator made."""

    number: _Number
    of: _Number
    extent: Extent


class Call(_Part, frozen=True, tag="call"):
    """An operator that ran."""

    operator: str
    args: tuple[Value, ...]
    kwargs: dict[str, Value]
    results: tuple[_Number, ...]
    """Numbers of the tensors in its result."""


class Overwritten(_Part, frozen=True, tag="overwritten"):
    """A storage that changed by no operator."""

    number: _Number
    """Of a tensor in it."""
    content: bytes
    """Of the whole storage."""


class Unshared(_Part, frozen=True, tag="unshared"):
    """An operator that only the network's own process has, and what it left."""

    operator: str
    reads: tuple[_Number, ...]
    results: tuple[Given, ...]
    """With their contents."""
    changed: tuple[Overwritten, ...]
    """Of its arguments."""


Step: TypeAlias = Given | View | Call | Overwritten | Unshared


class Tape(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recorded pass."""

    steps: tuple[Step, ...]
    storages: tuple[bytes, ...]
    """Contents of the storages that were there before an operator used them."""
    output: _Number


def tensors(values: Any) -> list[Tensor]:
    """The tensors in arguments or in a result."""
    if isinstance(values, Tensor):
        return [values]
    parts = values.values() if isinstance(values, Mapping) else values
    return [one for part in parts for one in tensors(part)] if isinstance(parts, (list, tuple, ValuesView)) else []


def references(value: Value) -> list[int]:
    """Numbers of the tensors in an argument."""
    if isinstance(value, Items):
        return [number for one in value.items for number in references(one)]
    return [value.number] if isinstance(value, Ref) else []


def encoded(value: Any, number_of: Callable[[Tensor], int]) -> Value:
    """An operator's argument as it stands on a tape.

    Args:
        value: The argument.
        number_of: Number of a tensor.

    Raises:
        Unrecordable: It is of a type that a tape cannot hold.
    """
    if isinstance(value, Tensor):
        return Ref(number_of(value))
    if isinstance(value, (list, tuple)):
        return Items(tuple(encoded(one, number_of) for one in value))
    if isinstance(value, complex):
        return Complex(value.real, value.imag)
    if isinstance(value, (torch.device, *_WORDS)):
        return OnDevice(value.type == "cpu") if isinstance(value, torch.device) else Named(str(value))
    if isinstance(value, (bool, int, float, str, NoneType, torch.Generator)):
        return None if isinstance(value, torch.Generator) else value  # its own numbers are random, whatever the seed
    raise Unrecordable(f"an argument of type {type(value).__name__}")


def is_plain(tensor: Tensor) -> bool:
    """True if its numbers, its layout and its type are all there is to it."""
    own = type(tensor).__torch_dispatch__ is not Tensor.__torch_dispatch__
    lazy = tensor.layout == torch.strided and (tensor.is_conj() or tensor.is_neg())
    return not (own or lazy or tensor.is_meta)


def extent_of(tensor: Tensor) -> Extent:
    """The part of its storage that a tensor is."""
    return Extent(str(tensor.dtype), tuple(tensor.shape), tuple(tensor.stride()), int(tensor.storage_offset()))


def tensor_in(storage: torch.UntypedStorage, extent: Extent) -> Tensor:
    """The tensor of an extent in a storage.

    Raises:
        ValueError: The storage has no such part.
    """
    dtype = DTYPES[extent.dtype]
    last = extent.offset + sum((n - 1) * step for n, step in zip(extent.shape, extent.stride, strict=True))
    if math.prod(extent.shape) and (last + 1) * dtype.itemsize > storage.nbytes():
        raise ValueError("a tensor beyond its storage")
    return torch.empty(0, dtype=dtype, device=storage.device).set_(storage, extent.offset, extent.shape, extent.stride)


def raw_bytes(storage: torch.UntypedStorage) -> Tensor:
    """A storage as one row of bytes."""
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage, 0, (storage.nbytes(),), (1,))
