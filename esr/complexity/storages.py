"""Storages of tensors: their address, and values kept for each."""

import weakref
from collections.abc import Callable
from functools import partial
from typing import Generic, TypeVar

import torch
from torch import Tensor

Kept = TypeVar("Kept")


def storage_of(tensor: Tensor) -> int:
    """Address of a tensor's storage, for as long as it lives."""
    return tensor.untyped_storage()._cdata if tensor.layout == torch.strided else id(tensor)


class ByStorage(Generic[Kept]):
    """A value for each storage, forgotten when that is freed, since its address is used again.

    Args:
        forgotten: Called with a value that is forgotten.
    """

    def __init__(self, forgotten: Callable[[Kept], object] = lambda _: None) -> None:
        self._values: dict[int, Kept] = {}
        self._guards: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        self._forgotten = forgotten

    def get(self, tensor: Tensor) -> Kept | None:
        """The value for a tensor's storage."""
        return self._values.get(tensor.untyped_storage()._cdata)

    def put(self, tensor: Tensor, value: Kept) -> None:
        """Sets the value for a tensor's storage."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self._guards:
            self._guards[storage._cdata] = weakref.ref(storage, partial(self._forget, storage._cdata))
        self._values[storage._cdata] = value

    def _forget(self, address: int, _: object) -> None:
        del self._guards[address]
        self._forgotten(self._values.pop(address))
