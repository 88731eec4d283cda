"""Numbers that a pass multiplies like weights, and where they come from: those that no count of parameters includes."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from esr.complexity.storages import storage_of
from esr.evaluation.worker.tape import NUMBER_BYTES, tensors

_LARGE_SHARE, _FIXED = 0.1, 512
"""Fraction of the parameters, and number, from which on other numbers that convolutions and products use count as
weights; fewer may be fixed filters, as Sobel's."""
_MOST_MADE = 1.5
"""Factor of numbers made from parameters without multiplying, over those parameters: more were packed into them."""
_MOST_COMPARED = 2**20
"""Numbers of a tensor whose filters are compared with each other."""
INDEXED = re.compile(r"aten\.(?:_?index|_unsafe_index|gather|take|embedding|scatter)\w*")
"""Operators whose integers are places."""
_WORD = 2**31
"""A larger integer can hold two numbers."""
_NUMBER_BITS = 8 * NUMBER_BYTES
_SECOND = {"aten.mm": 1, "aten.addmm": 2}
"""Product of two matrices -> number of the second one among its arguments: attention's, of batches, is no weight."""
_PRODUCT = 0
"""Origin that stands for a product, and for what else features are made of."""


class Multiplied:
    """Follows numbers, through whatever is done to them, to where they are multiplied."""

    def __init__(self, network: nn.Module) -> None:
        self._params = sum(one.numel() for one in network.parameters())
        self._counted = {storage_of(one): one.numel() for one in network.parameters()}
        self._extents: dict[int, list[range]] = {}
        """Storage of parameters -> places of each."""
        for one in network.parameters():
            self._extents.setdefault(storage_of(one), []).append(_extent(one))
        self._sources = _unregistered(network)
        """Storage, or a number below 0 for plain numbers, -> numbers in it that are no parameters."""
        self._origins: dict[int, set[int]] = {}
        """Storage -> parameters and sources that its numbers were made from."""
        self._used: set[int] = set()
        self._made: dict[bytes, int] = {}
        """Digest of values that were made from parameters -> how many."""
        self._parents: set[int] = set()
        """Parameters that they were made from."""

    @property
    def hidden(self) -> int:
        """Numbers multiplied like weights that are none, if they are more than fixed filters have."""
        total = sum(self._sources[one] for one in self._used)
        made, parents = sum(self._made.values()), sum(self._counted[one] for one in self._parents)
        total += made - parents if made > _MOST_MADE * parents else 0
        return total if total > max(_LARGE_SHARE * self._params, _FIXED) else 0

    def note_source(self, tensor: Tensor) -> None:
        """Notes a tensor that is neither registered nor the result of an operator, as an operator reads it."""
        storage = storage_of(tensor)
        if storage not in self._sources:
            self._sources[storage] = _numbers(tensor)
        self._origins[storage] = {storage}

    def note_overwritten(self, tensor: Tensor) -> None:
        """Notes a tensor that has changed by no operator."""
        key = -len(self._sources) - 1
        self._sources[key] = _numbers(tensor)
        self._origins[storage_of(tensor)] = {key}

    def note_numbers(self, numbers: Sequence[complex], result: Any) -> None:
        """Notes plain numbers that an operator made a tensor of, or changed one by."""
        key = -len(self._sources) - 1
        self._sources[key] = sum(2 if type(one) is complex or abs(one) > _WORD else 1 for one in numbers)
        for leaf in tensors(result):
            self._origins[storage_of(leaf)] = self._origins.get(storage_of(leaf), set()) | {key}

    def only_made(self, tensor: Tensor) -> bool:
        """True if it was made from parameters or sources without a product."""
        return _PRODUCT not in (origins := self._of(tensor)) and bool(origins)

    def note(
        self, name: str, read: Sequence[Tensor], features: set[int], result: Any, *, multiplies: bool, masked: bool
    ) -> None:
        """Called after each operator.

        Args:
            name: Of the operator.
            read: Tensors among its arguments.
            features: Storages of those that follow from the input.
            result: Its result.
            multiplies: It adds products up.
            masked: One of its arguments is a mask.
        """
        origins: set[int] = set()
        places = [one for one in read if INDEXED.fullmatch(name) and not (one.is_floating_point() or one.is_complex())]
        for number, tensor in enumerate(read):
            self._note_beyond(tensor)
            if multiplies and not masked and self._is_weight(name, number, tensor, features):
                self._note_multiplied(tensor)
            if not any(tensor is one for one in places):
                origins |= self._of(tensor)
        if origins.isdisjoint(self._counted):  # places in a table of no parameters are numbers themselves
            origins = origins.union(*map(self._of, places))
        if multiplies:  # a product of parameters is no more than they are, and its work was counted
            origins = set() if features else origins - self._counted.keys()
        results = tensors(result)
        if multiplies or any(storage_of(one) in features for one in places) or self._adds(read, features, results):
            origins = origins | {_PRODUCT}
        for leaf in results:
            if not self._is_given(storage := storage_of(leaf)):
                self._origins[storage] = origins

    def _adds(self, read: Sequence[Tensor], features: set[int], results: Sequence[Tensor]) -> bool:
        """True if something is added to features as large as the result, rather than some of them to something."""
        whole = [one.numel() for one in read if storage_of(one) in features and not self.only_made(one)]
        return 0 < len(whole) < len(read) and max(whole) >= max((one.numel() for one in results), default=0)

    def _is_weight(self, name: str, number: int, tensor: Tensor, features: set[int]) -> bool:
        """True for a factor that does not follow from the input, or is at a weight's place, or is no feature so far."""
        convolves = "conv" in name
        at_its_place = number == _SECOND.get(name, 1 if convolves else None)
        return storage_of(tensor) not in features or at_its_place or (not convolves and self.only_made(tensor))

    def _note_multiplied(self, tensor: Tensor) -> None:
        origins = self._of(tensor)
        self._used |= origins & self._sources.keys()
        parents = origins & self._counted.keys()
        if parents and _PRODUCT not in origins and storage_of(tensor) not in self._counted:
            self._parents |= parents
            # Filters may be widened by zeros.
            self._made.setdefault(_digest(tensor), min(_distinct(tensor), int(torch.count_nonzero(tensor))))

    def _note_beyond(self, tensor: Tensor) -> None:
        """Notes what a storage holds besides the parameters in it, if more of it is read than a parameter."""
        known, mine = self._extents.get(storage_of(tensor), ()), _extent(tensor)
        if known and not any(one.start <= mine.start and mine.stop <= one.stop for one in known):
            held = tensor.untyped_storage().nbytes() // tensor.element_size()
            beyond = max(held - sum(map(len, known)), self._sources.get(storage_of(tensor), 0))
            self._sources[storage_of(tensor)] = beyond

    def _of(self, tensor: Tensor) -> set[int]:
        storage = storage_of(tensor)
        return self._origins.get(storage, set()) | ({storage} if self._is_given(storage) else set())

    def _is_given(self, storage: int) -> bool:
        return storage in self._sources or storage in self._counted


def _unregistered(network: nn.Module) -> dict[int, int]:
    """Storage -> numbers in it that no count of parameters includes: buffers', and what wide types can hold besides."""
    found = {
        storage_of(one): _numbers(one) * max(NUMBER_BYTES, one.element_size()) // NUMBER_BYTES
        for one in network.buffers()
    }
    for one in network.parameters():
        found.pop(storage_of(one), None)
        if one.element_size() > NUMBER_BYTES:
            found[storage_of(one)] = one.numel() * (one.element_size() // NUMBER_BYTES - 1)
    return found


def _extent(tensor: Tensor) -> range:
    """First place in its storage, and the one after the last."""
    if tensor.layout != torch.strided:
        return range(tensor.numel())
    start = tensor.storage_offset()
    return range(start, start + 1 + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True)))


def _numbers(tensor: Tensor) -> int:
    """Numbers in a tensor, and in all that it is a piece of."""
    if tensor.layout != torch.strided:
        return tensor.numel()
    held = tensor.untyped_storage().nbytes() // tensor.element_size()
    if held > tensor.numel():
        return held
    return tensor.numel() // _NUMBER_BITS if _is_mask(tensor) else _distinct(tensor)


def _is_mask(tensor: Tensor) -> bool:
    """True for numbers of one bit each, as pruning multiplies weights by."""
    fits = _NUMBER_BITS < tensor.numel() <= _MOST_COMPARED
    return fits and torch.unique(tensor.detach()).numel() <= 2  # noqa: PLR2004


def _distinct(tensor: Tensor) -> int:
    """Numbers in a tensor; equal filters count once, as fixed ones are repeated."""
    filters = tensor.dim() == 4 and tensor.shape[-2:].numel() > 1 and tensor.is_floating_point()  # noqa: PLR2004
    if not filters or tensor.numel() > _MOST_COMPARED:
        return tensor.numel()
    return int(torch.unique(tensor.float().flatten(-2).flatten(0, 1), dim=0).numel())


def _digest(tensor: Tensor) -> bytes:
    """Same for tensors with the same values in any order, whatever their signs: turned filters are the same ones."""
    values = tensor.detach().to("cpu", torch.float32).abs().flatten()
    return hashlib.sha256(values.sort().values.numpy().tobytes()).digest()
