"""Side effects of a pass: other types than float32, changed settings, work and numbers that no count shows."""

import gc
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from esr.complexity import operators
from esr.complexity.counting import in_every_thread, unseen
from esr.complexity.memory import Ledger
from esr.complexity.replica import as_written, registered
from esr.evaluation.worker.contents import Contents
from esr.evaluation.worker.messages import InspectAnswer
from esr.networks import devices
from esr.records.network import SettingValue

_SMALL_INTEGERS = frozenset({torch.int8, torch.uint8, torch.int16, torch.int32})
_QUANTISED = frozenset({torch.qint8, torch.quint8, torch.qint32})
_FEW = 16
"""Numbers that may be a mean or a scale rather than weights."""
_IMAGE_SHARE = 8
"""Fraction, as divisor, of the input's values from which on tensors may hold part of the answer."""
_LARGE_SHARE, _FIXED = 0.1, 512
"""Fraction of the parameters, and number, from which on other numbers that convolutions and products use count as
weights; fewer may be fixed filters, as Sobel's."""
_MOST_COMPARED = 2**20
"""Numbers of a tensor whose filters are compared with each other."""
_SHAPE_ONLY = re.compile(r"aten\.(?:new_(?:empty|zeros|ones|full)\w*|(?:empty|zeros|ones|full|randn?|randint)_like)")
"""Operators whose result has nothing of their argument but its shape."""
_FEWEST_PRODUCTS = 100
"""Products of single values per LR pixel, fewer of which are gains and masks."""
_PRODUCTS = frozenset(f"aten.{name}{place}" for name in ("mul", "div", "addcmul") for place in ("", "_"))
_FLOAT = 4


class _Inspection:
    """Notes what each operator of one pass does."""

    def __init__(self, network: nn.Module, lr: Tensor, settings: Mapping[str, SettingValue]) -> None:
        self.settings = settings
        self.precisions: dict[str, set[str]] = {}
        self.changed: dict[str, SettingValue] = {}
        self.macs = 0
        self.fixed = 0
        self.contents = Contents([lr, *registered(network)])
        self._products = 0
        self._device = lr.device
        self._pixels = lr.numel() // lr.shape[1]
        self._share = lr.numel() // _IMAGE_SHARE
        self._ledger = Ledger(network, lr)
        self._before = _alive()
        self._from_input = {lr.untyped_storage()._cdata}
        self._params = sum(one.numel() for one in network.parameters())
        self._sources = _unregistered(network)
        self._made_from: dict[int, set[int]] = {}
        self._used: set[int] = set()
        self._hidden: dict[int, int] = {}
        self._outside: dict[int, int] = {}

    @property
    def hidden(self) -> int:
        """Numbers multiplied like weights that are none, if they are more than fixed filters have."""
        total = sum(({storage: self._sources[storage] for storage in self._used} | self._hidden).values())
        return total if total > max(_LARGE_SHARE * self._params, _FIXED) else 0

    @property
    def outside(self) -> int:
        """Numbers made by no operator, if there are enough for a part of the answer."""
        total = sum(self._outside.values())
        return total if total >= self._share else 0

    @property
    def products(self) -> int:
        """Products of single values of features with numbers that do not follow from the input, if they are many."""
        return self._products if self._products > _FEWEST_PRODUCTS * self._pixels else 0

    def compare_settings(self) -> None:
        """Notes the settings that have changed."""
        now = devices.read_settings()
        self.changed |= {name: value for name, value in now.items() if value != self.settings[name]}

    def saw(self, operator: Any, arguments: Sequence[Any], result: Any) -> None:
        """Called after each operator."""
        self.compare_settings()  # here, since a network may restore them before it returns
        self._compare_devices(result)
        macs = operators.macs(operator, arguments, result) or 0
        self.macs += macs
        inputs = [leaf for leaf in tree_leaves(arguments) if isinstance(leaf, Tensor)]
        self.fixed += 0 if any(_storage(leaf) in self._from_input for leaf in inputs) else macs
        masked = "attention" in operators.name(operator)  # whose mask is no weight
        self._note_products(operators.name(operator), arguments, result)
        reads = [] if _SHAPE_ONLY.fullmatch(operators.name(operator)) else arguments
        follows = self._note_origins(reads, result, multiplies=macs > 0, masked=masked)
        if follows or macs:  # a table in half precision is no computation
            self._note_types(operators.name(operator), arguments, result, multiplies=macs > 0)
        self.contents.after(operator, arguments, result)

    def _compare_devices(self, result: Any) -> None:
        """Notes a GPU that was not given; tables may be made on the CPU."""
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and leaf.device != self._device and leaf.device.type not in ("cpu", "meta"):
                self.changed["device"] = str(leaf.device)

    def _note_products(self, name: str, arguments: Sequence[Any], result: Any) -> None:
        leaves = [leaf for leaf in tree_leaves(arguments) if isinstance(leaf, Tensor)]
        from_input = [_storage(leaf) in self._from_input for leaf in leaves if leaf.numel() > _FEW]
        if name in _PRODUCTS and len(set(from_input)) > 1 and isinstance(result, Tensor):
            self._products += result.numel()

    def _note_origins(self, arguments: Sequence[Any], result: Any, *, multiplies: bool, masked: bool) -> bool:
        """True if the result follows from the input."""
        inputs = [leaf for leaf in tree_leaves(arguments) if isinstance(leaf, Tensor)]
        for leaf in unseen(self._ledger, inputs):
            storage = leaf.untyped_storage()._cdata
            if storage not in self._before and leaf.numel() > _FEW:
                self._outside[storage] = self._outside.get(storage, 0) + leaf.numel()
            elif leaf.numel() > _FEW:
                numbers = self._sources.setdefault(storage, _numbers(leaf))
                if multiplies:
                    self._hidden[storage] = numbers
        self._note_weights(inputs, result, multiplies=multiplies and not masked)
        outputs = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        follows = any(_storage(leaf) in self._from_input for leaf in inputs)
        for leaf in outputs:
            (self._from_input.add if follows else self._from_input.discard)(_storage(leaf))
        self._ledger.enter(result)
        return follows

    def _note_weights(self, inputs: Sequence[Tensor], result: Any, *, multiplies: bool) -> None:
        """Follows numbers that are no parameters, through copies and casts, to where they are multiplied."""
        origins: set[int] = set()
        for storage in {_storage(leaf) for leaf in inputs} - self._from_input:
            origins |= self._made_from.get(storage, set()) | ({storage} & self._sources.keys())
        if multiplies:
            self._used |= origins
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and (storage := _storage(leaf)) not in self._sources:
                self._made_from[storage] = origins

    def _note_types(self, name: str, arguments: Sequence[Any], result: Any, *, multiplies: bool) -> None:
        given = [leaf.dtype for leaf in tree_leaves(arguments) if isinstance(leaf, Tensor)]
        masks = all(dtype == torch.bool for dtype in given)
        for leaf in tree_leaves(result):
            if not isinstance(leaf, Tensor) or leaf.dtype == torch.float32 or leaf.numel() <= _FEW:
                continue
            integers = leaf.dtype in _SMALL_INTEGERS and leaf.numel() >= self._pixels and not masks
            whole = not leaf.is_floating_point() and not leaf.is_complex() and leaf.dtype != torch.bool
            if leaf.is_floating_point() or leaf.dtype in _QUANTISED or integers or (whole and multiplies):
                dtype = str(leaf.dtype).removeprefix("torch.")
                self.precisions.setdefault(dtype, set()).add(name.removeprefix("aten."))

    def connects(self, output: object) -> bool:
        """True if the output follows from the input by operators."""
        return isinstance(output, Tensor) and _storage(output) in self._from_input


def _unregistered(network: nn.Module) -> dict[int, int]:
    """Storage -> numbers in it that no count of parameters includes: buffers', and what wide types can hold besides.

    Integer buffers are indices.
    """
    buffers = (one for one in network.buffers() if one.is_floating_point() or one.is_complex())
    found = {_storage(one): _numbers(one) * max(_FLOAT, one.element_size()) // _FLOAT for one in buffers}
    for one in network.parameters():
        found.pop(_storage(one), None)
        if one.element_size() > _FLOAT:
            found[_storage(one)] = one.numel() * (one.element_size() // _FLOAT - 1)
    return found


def _numbers(tensor: Tensor) -> int:
    """Numbers in a tensor, and in all that it is a piece of; equal filters count once, as fixed ones are repeated."""
    if tensor.layout != torch.strided:
        return tensor.numel()
    held = tensor.untyped_storage().nbytes() // tensor.element_size()
    if held > tensor.numel():
        return held
    filters = tensor.dim() == 4 and tensor.shape[-2:].numel() > 1 and tensor.is_floating_point()  # noqa: PLR2004
    if not filters or tensor.numel() > _MOST_COMPARED:
        return tensor.numel()
    return int(torch.unique(tensor.float().flatten(-2).flatten(0, 1), dim=0).numel())


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata if tensor.layout == torch.strided else id(tensor)


def _alive() -> set[int]:
    """Storages of all tensors that Python holds."""
    tensors = [one for one in gc.get_objects() if issubclass(type(one), Tensor)]
    return {_storage(one) for one in tensors}


def inspect(
    network: nn.Module, lr: Tensor, run: Callable[[], Tensor], settings: Mapping[str, SettingValue]
) -> tuple[Tensor, InspectAnswer]:
    """Runs one pass under watch.

    Args:
        network: The network.
        lr: The input.
        run: One forward pass over it.
        settings: As `devices.read_settings` returned them before the network was loaded.

    Returns:
        The pass's output, and the findings.
    """
    watched = _Inspection(network, lr, settings)
    start = time.perf_counter_ns()
    with as_written(), in_every_thread(watched.saw, before=watched.contents.before) as mode:
        output = run()
    elapsed = time.perf_counter_ns() - start
    watched.contents.compare(output)
    watched.compare_settings()
    precisions = {dtype: tuple(sorted(names)) for dtype, names in sorted(watched.precisions.items())}
    return output, InspectAnswer(
        precisions=precisions,
        switches=watched.changed,
        macs=watched.macs,
        fixed=watched.fixed,
        hidden=watched.hidden,
        outside=watched.outside,
        connected=watched.connects(output),
        ms=elapsed / 1e6,
        operators_ms=min(mode.ns, elapsed) / 1e6,
        products=watched.products,
        rewritten=watched.contents.rewritten,
        filled=watched.contents.filled,
    )
