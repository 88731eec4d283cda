"""Live memory of one forward pass, tracked allocation by allocation."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from esr.complexity.replica import registered, unique_bytes
from esr.complexity.storages import ByStorage, storage_of
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
        self._alive: ByStorage[int] = ByStorage(self._freed)
        """Bytes."""
        self._total = 0
        self._given = {storage_of(one) for one in (image, *registered(network))}

    @property
    def live_memory(self) -> LiveMemory:
        """Bytes at the peak so far."""
        return LiveMemory(weights=self._weights, input=self._input, activations=self._peak)

    def enter(self, result: Any) -> None:
        """Enters the tensors in an operator's result."""
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.layout == torch.strided and leaf.device == self._device:
                self._enter(leaf)
        self._peak = max(self._peak, self._total)

    def knows(self, tensor: Tensor) -> bool:
        """True for the input, parameters, buffers and live results."""
        return storage_of(tensor) in self._given or self._alive.get(tensor) is not None

    def _enter(self, tensor: Tensor) -> None:
        if storage_of(tensor) not in self._given:
            size = tensor.untyped_storage().nbytes()
            self._total += size - (self._alive.get(tensor) or 0)
            self._alive.put(tensor, size)

    def _freed(self, size: int) -> None:
        self._total -= size
