"""Contents of tensors between operators: what changes there was written by none."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from esr.complexity import operators
from esr.complexity.flow import EMPTY, written
from esr.complexity.storages import ByStorage
from esr.evaluation.worker.tape import is_plain, raw_bytes, tensors

_PLACES = 64
"""Bytes of a storage that are remembered."""
_FEWEST_BYTES = 64
"""Of a storage that is watched."""
_MARK = 0xA5
"""Byte that fills empty memory."""


class Contents:
    """A few bytes of each storage, at places that nobody knows, as the last operator left them.

    Args:
        held: Parameters, buffers and the input.
    """

    def __init__(self, held: Sequence[Tensor]) -> None:
        self._shares = np.random.default_rng().random(_PLACES)  # not from a generator that the network draws from
        self._bytes: ByStorage[Tensor] = ByStorage()
        self._places: dict[tuple[int, torch.device], Tensor] = {}
        self.note(held)

    def after(self, operator: Any, arguments: Sequence[Any], result: Any) -> None:
        """Called after each operator: remembers what it wrote."""
        if EMPTY.fullmatch(operators.name(operator)):
            self._mark(result)
        if not operators.is_aten(operator) or "batch_norm" in operators.name(operator):
            self.note(arguments)  # its schema need not tell what it writes
        elif operators.is_view(operator):
            return
        self.note((result, written(operator, arguments)))

    def changed(self, values: Any) -> list[Tensor]:
        """Tensors in storages that are not as they were left; they are noted as they are now."""
        found = []
        for tensor in _watched(values):
            left = self._bytes.get(tensor)
            if left is not None and not torch.equal(left, self._read(tensor)):
                found.append(tensor)
                self.note(tensor)
        return found

    def note(self, values: Any) -> None:
        """Remembers tensors as they are."""
        for tensor in _watched(values):
            self._bytes.put(tensor, self._read(tensor))

    def _mark(self, empty: Any) -> None:
        """Fills memory that may still hold what a kernel is about to write: the same as before, over the same input."""
        for tensor in _watched(empty):
            raw_bytes(tensor.untyped_storage()).fill_(_MARK)

    def _read(self, tensor: Tensor) -> Tensor:
        """Bytes of a tensor's storage at the places."""
        storage = tensor.untyped_storage()
        size = storage.nbytes()
        key = (size, tensor.device)
        if key not in self._places:
            self._places[key] = torch.from_numpy((self._shares * size).astype(np.int64)).to(tensor.device)
        return raw_bytes(storage)[self._places[key]]


def _watched(values: Any) -> Iterator[Tensor]:
    known = (one for one in tensors(values) if is_plain(one) and one.layout == torch.strided)
    return (one for one in known if one.untyped_storage().nbytes() > _FEWEST_BYTES)
