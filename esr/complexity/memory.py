"""The memory that one forward pass needs, followed allocation by allocation."""

import gc
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from esr.complexity import operators
from esr.complexity.operators import OperatorMode
from esr.complexity.replica import observe, registered, unique_bytes
from esr.models.retention import Keeps, published_retention


@dataclass(frozen=True)
class PeakMemory:
    """Bytes that live on the device at the worst moment of one forward pass."""

    weights: int
    """All parameters and buffers."""
    input: int
    """The image, which whoever called the network holds on to."""
    activations: int
    """Most bytes alive at once of what the pass itself allocates, the output included."""
    kept: int
    """The same if results stay alive as long as the network's published code keeps them
    (`esr.models.retention`); equal to `activations` for any network that is not one of the challenge's."""

    @property
    def total(self) -> int:
        """Bytes of weights, input and activations together."""
        return self.weights + self.input + self.activations

    @property
    def published(self) -> int:
        """Bytes of weights, input and kept activations: what the challenge's memory figure measures."""
        return self.weights + self.input + self.kept

    def as_dict(self) -> dict[str, int]:
        """What a record holds: the live figures and their total, as plain JSON types."""
        fields = asdict(self)
        del fields["kept"]
        return {**fields, "total": self.total}


def peak_memory(network: nn.Module, height: int, width: int) -> PeakMemory:
    """Follows every tensor's storage through one forward pass of a 1×3×height×width image.

    A storage counts from the operator that makes it until nothing refers to it any more, with its exact size;
    views and in-place operators add nothing. What is left out depends on the machine: the work space inside
    kernels (cuDNN's, mostly), rounding and fragmentation in the allocator, the CUDA context. So the figure is
    the same on every device, and a floor for `torch.cuda.max_memory_allocated`. It follows the references that
    the network's own Python code holds: features kept in a variable until a block returns count until then.
    Fused attention counts as its output alone.

    For a network of the challenge a second pass keeps results as its published code does. What that needs on
    1×3×510×510 is the published memory: docs/networks.md compares the two.

    Args:
        network: maps a 1×3×H×W image to anything; left as it is.
        height: of the input, pixels.
        width: of the input, pixels.

    Raises:
        ConfigError: a height or width below 1.
        NetworkError: the network fails on this input, or has lazy parameters without a shape.

    >>> relu = nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), nn.ReLU(inplace=True))
    >>> peak_memory(relu, 16, 16)
    PeakMemory(weights=96, input=3072, activations=8192, kept=8192)
    """
    ledger = observe(network, height, width, _letting_go)
    kept = ledger.peak
    if published_retention(network) is not None:
        kept = observe(network, height, width, _keeping).peak
    return PeakMemory(weights=ledger.weights, input=ledger.input, activations=ledger.peak, kept=kept)


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
        for leaf in _tensors(result):
            if leaf.layout == torch.strided and leaf.device == self._device:
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


_REUSE = {"add_": Keeps.SUMS, "addcmul_": Keeps.SUMS, "sigmoid_": Keeps.FACTORS}


class _Keeper:
    """Holds on to results while modules run, as the published code of a network does."""

    def __init__(self, retention: dict[nn.Module, Keeps], ledger: _Ledger) -> None:
        self._retention = retention
        self._ledger = ledger
        self._running: list[tuple[Keeps, list[Tensor]]] = []
        self._handed_on: dict[int, list[Tensor]] = {}
        """Depth of the calls -> what a module there keeps until the next one at that depth has returned."""

    def before(self, module: nn.Module, inputs: Any) -> None:
        """Forward pre-hook."""
        keeps = self._retention[module]
        self._running.append((keeps, _tensors(inputs) if Keeps.LONGER in keeps else []))

    def after(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """Forward hook."""
        del module, inputs
        keeps, kept = self._running.pop()
        depth = len(self._running)
        self._handed_on = {level: held for level, held in self._handed_on.items() if level < depth}
        if Keeps.LONGER in keeps:
            self._handed_on[depth] = kept
        if self._running and Keeps.RESULTS in self._running[-1][0]:
            self._running[-1][1].extend(_tensors(output))

    def saw(self, operator: Any, arguments: Sequence[Any], result: Any) -> None:
        """Enters the operator's result in the ledger, and keeps it if the running module does."""
        self._ledger.saw(operator, arguments, result)
        keeps, kept = self._running[-1]  # the network itself, at least
        if (reused := _reuse(operator)) and reused in keeps:
            copies = [torch.empty_like(tensor) for tensor in _tensors(result)]
            self._ledger.saw(operator, (), copies)
            kept.extend(copies)
        if Keeps.VALUES in keeps:
            kept.extend(_tensors(result))


def _reuse(operator: Any) -> Keeps:
    """Which kind of in-place operator it is; nothing if it makes a new tensor."""
    name = operators.name(operator).removeprefix("aten.")
    if not name.endswith("_"):
        return Keeps.NOTHING
    return _REUSE.get(name, Keeps.PRODUCTS)


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


@contextmanager
def _letting_go(network: nn.Module, image: Tensor) -> Iterator[_Ledger]:
    """Every result lives for as long as the code that runs refers to it."""
    ledger = _Ledger(network, image)
    with _collector_at_rest(), OperatorMode(ledger.saw):
        yield ledger


@contextmanager
def _keeping(network: nn.Module, image: Tensor) -> Iterator[_Ledger]:
    """Results live for as long as the published code refers to them."""
    ledger = _Ledger(network, image)
    keeper = _Keeper(published_retention(network) or {}, ledger)
    with ExitStack() as hooks:
        for module in network.modules():
            hooks.callback(module.register_forward_pre_hook(keeper.before).remove)
            hooks.callback(module.register_forward_hook(keeper.after).remove)
        with _collector_at_rest(), OperatorMode(keeper.saw):
            yield ledger


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """When the collector of cycles runs is chance."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
