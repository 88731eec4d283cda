"""Contents of tensors between operators: what changes there was written by none."""

import re
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from esr.complexity import operators
from esr.complexity.flow import written

_PLACES = 64
"""Bytes of a storage that are remembered."""
_FEWEST_BYTES = 64
"""Of a storage that is watched."""
_NUMBER = 4
_BLANK = re.compile(r"aten\.(?:new_)?(?:empty|zeros|ones|full)\w*|aten\.(?:resize|zero|fill)_")
"""Operators whose result something else may be about to fill."""


class Contents:
    """A few bytes of each storage, at places that nobody knows, as the last operator left them.

    Args:
        held: Parameters, buffers and the input.
    """

    def __init__(self, held: Iterable[Tensor]) -> None:
        self.rewritten = 0
        """Numbers in storages that changed although an operator had filled them."""
        self.filled = 0
        """Numbers in storages that changed after an operator had made them empty or constant."""
        self._shares = np.random.default_rng().random(_PLACES)  # not from a generator that the network draws from
        self._bytes: dict[int, Tensor] = {}
        self._blank: set[int] = set()
        self._guards: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        self._places: dict[tuple[int, torch.device], Tensor] = {}
        for tensor in _tensors(list(held)):
            self._note(tensor, blank=False)

    def before(self, operator: Any, arguments: Sequence[Any]) -> None:
        """Called before each operator: compares its arguments with what earlier ones left."""
        if not (hasattr(operator, "_schema") and operators.is_view(operator)):
            self.compare(arguments)

    def after(self, operator: Any, arguments: Sequence[Any], result: Any) -> None:
        """Called after each operator: remembers what it wrote."""
        name = operators.name(operator)
        if not operators.is_aten(operator) or "batch_norm" in name:  # whose schemas need not tell what they write
            for tensor in _tensors(arguments):
                self._note(tensor, blank=False)
        elif operators.is_view(operator):
            return
        blank = _BLANK.fullmatch(name) is not None
        for tensor in (*_tensors(result), *written(operator, arguments)):
            self._note(tensor, blank=blank)

    def compare(self, values: Any) -> None:
        """Adds up storages of tensors that are not as they were left."""
        for tensor in _tensors(values):
            address = tensor.untyped_storage()._cdata
            left = self._bytes.get(address)
            if left is None or torch.equal(left, self._read(tensor)):
                continue
            numbers = tensor.untyped_storage().nbytes() // _NUMBER
            if address in self._blank:
                self.filled += numbers
            else:
                self.rewritten += numbers
            self._note(tensor, blank=False)

    def _note(self, tensor: Tensor, *, blank: bool) -> None:
        storage = tensor.untyped_storage()
        address = storage._cdata
        if storage.nbytes() <= _FEWEST_BYTES or tensor.is_meta:
            return
        if address not in self._bytes:
            self._guards[address] = weakref.ref(storage, lambda _: self._forget(address))
        self._bytes[address] = self._read(tensor)
        (self._blank.add if blank else self._blank.discard)(address)

    def _read(self, tensor: Tensor) -> Tensor:
        """Bytes of a tensor's storage at the places."""
        storage = tensor.untyped_storage()
        size = storage.nbytes()
        key = (size, tensor.device)
        if key not in self._places:
            self._places[key] = torch.from_numpy((self._shares * size).astype(np.int64)).to(tensor.device)
        whole = torch.empty(0, dtype=torch.uint8, device=tensor.device).set_(storage, 0, (size,), (1,))
        return whole[self._places[key]]

    def _forget(self, address: int) -> None:
        self._bytes.pop(address, None)
        self._guards.pop(address, None)
        self._blank.discard(address)


def _tensors(values: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor) and _is_watched(leaf))


def _is_watched(tensor: Tensor) -> bool:
    try:
        return tensor.layout == torch.strided and tensor.untyped_storage().nbytes() > _FEWEST_BYTES
    except (NotImplementedError, RuntimeError):  # a wrapper around other tensors
        return False
