"""The memory that one forward pass needs, followed allocation by allocation."""

import gc
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from esr.complexity.operators import OperatorMode
from esr.complexity.replica import observe, registered, unique_bytes

MIB = 2**20


@dataclass(frozen=True)
class PeakMemory:
    """Bytes that live on the device at the worst moment of one forward pass."""

    weights: int
    """All parameters and buffers."""
    input: int
    """The image, which whoever called the network holds on to."""
    activations: int
    """Most bytes alive at once of what the pass itself allocates, the output included."""

    @property
    def total(self) -> int:
        """Bytes of weights, input and activations together."""
        return self.weights + self.input + self.activations

    @property
    def mib(self) -> float:
        """`total` in MiB, the unit of the challenge's table."""
        return self.total / MIB

    def as_dict(self) -> dict[str, int]:
        """The fields and `total` as plain JSON types."""
        return {**asdict(self), "total": self.total}


def peak_memory(network: nn.Module, height: int, width: int) -> PeakMemory:
    """Follows every tensor's storage through one forward pass of a 1×3×height×width image.

    A storage counts from the operator that makes it until nothing refers to it any more, with its exact size;
    views and in-place operators add nothing. What is left out depends on the machine: the work space inside
    kernels (cuDNN's, mostly), rounding and fragmentation in the allocator, the CUDA context. So the figure is
    the same on every device, and a floor for `torch.cuda.max_memory_allocated`. It follows the references that
    the network's own Python code holds: features kept in a variable until a block returns count until then.
    Fused attention counts as its output alone.

    Args:
        network: maps a 1×3×H×W image to anything; left as it is.
        height: of the input, pixels.
        width: of the input, pixels.

    Raises:
        ConfigError: a height or width below 1.
        NetworkError: the network fails on this input, or has lazy parameters without a shape.

    >>> relu = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.ReLU(inplace=True))
    >>> peak_memory(relu, 16, 16)
    PeakMemory(weights=96, input=3072, activations=8192)
    """
    ledger = observe(network, height, width, _keeping)
    return PeakMemory(weights=ledger.weights, input=ledger.input, activations=ledger.peak)


class _Ledger:
    """Enters each storage when an operator returns it, and strikes it out when it is freed."""

    def __init__(self, network: nn.Module, image: Tensor) -> None:
        self.weights = unique_bytes(registered(network))
        self.input = unique_bytes(iter([image]))
        self.peak = 0
        self._device = image.device
        self._alive: dict[int, int] = {}
        self._total = 0
        self._given = {t.untyped_storage()._cdata for t in (image, *registered(network))}
        self._watched: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def saw(self, operator: Any, arguments: Sequence[Any], result: Any) -> None:
        """Enters what the operator allocated."""
        del operator, arguments
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.layout == torch.strided and leaf.device == self._device:
                self._enter(leaf.untyped_storage())
        self.peak = max(self.peak, self._total)

    def _enter(self, storage: torch.UntypedStorage) -> None:
        address = storage._cdata
        if address in self._given:
            return
        if address not in self._alive:
            self._watched[address] = weakref.ref(storage, lambda _: self._strike_out(address))
        self._total += storage.nbytes() - self._alive.get(address, 0)
        self._alive[address] = storage.nbytes()

    def _strike_out(self, address: int) -> None:
        self._total -= self._alive.pop(address)
        del self._watched[address]


@contextmanager
def _keeping(network: nn.Module, image: Tensor) -> Iterator[_Ledger]:
    """The collector of cycles rests meanwhile: when it runs is chance."""
    ledger = _Ledger(network, image)
    collecting = gc.isenabled()
    gc.disable()
    try:
        with OperatorMode(ledger.saw):
            yield ledger
    finally:
        if collecting:
            gc.enable()
