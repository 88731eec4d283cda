"""Live memory of one forward pass, tracked allocation by allocation."""

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from esr.complexity.replica import registered, unique_bytes
from esr.records.network import LiveMemory


class Ledger:
    """Enters each storage when an operator returns it, and removes it when it is freed.

    Args:
        network: whose parameters and buffers are the weights.
        image: its input, which the caller holds.
    """

    def __init__(self, network: nn.Module, image: Tensor) -> None:
        self._weights = unique_bytes(registered(network))
        self._input = unique_bytes(iter([image]))
        self._peak = 0
        self._device = image.device
        self._alive: dict[int, int] = {}
        self._total = 0
        self._given = {t.untyped_storage()._cdata for t in (image, *registered(network))}
        self._watched: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    @property
    def live_memory(self) -> LiveMemory:
        """Bytes at the peak so far."""
        return LiveMemory(weights=self._weights, input=self._input, activations=self._peak)

    def enter(self, result: Any) -> None:
        """Enters the tensors in an operator's result."""
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.layout == torch.strided and leaf.device == self._device:
                self._enter(leaf.untyped_storage())
        self._peak = max(self._peak, self._total)

    def knows(self, tensor: Tensor) -> bool:
        """True for the input, parameters, buffers and live results."""
        address = tensor.untyped_storage()._cdata
        return address in self._given or address in self._alive

    def _enter(self, storage: torch.UntypedStorage) -> None:
        address = storage._cdata
        if address in self._given:
            return
        if address not in self._alive:
            self._watched[address] = weakref.ref(storage, lambda _: self._remove(address))
        self._total += storage.nbytes() - self._alive.get(address, 0)
        self._alive[address] = storage.nbytes()

    def _remove(self, address: int) -> None:
        self._total -= self._alive.pop(address)
        del self._watched[address]


@contextmanager
def without_collector() -> Iterator[None]:
    """Pauses the cyclic garbage collector, which would free memory at random moments."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
