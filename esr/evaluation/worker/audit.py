"""Side effects of a pass: other types than float32, changed settings, work and numbers that no count shows."""

import gc
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from esr.complexity import operators
from esr.complexity.counting import in_every_thread
from esr.complexity.flow import written
from esr.complexity.memory import Ledger
from esr.complexity.replica import as_written, registered
from esr.evaluation.worker.contents import Contents
from esr.evaluation.worker.messages import InspectAnswer
from esr.evaluation.worker.multiplied import INDEXED, Multiplied, storage_of
from esr.networks import devices
from esr.records.network import SettingValue

_SMALL_INTEGERS = frozenset({torch.int8, torch.uint8, torch.int16, torch.int32})
_QUANTISED = frozenset({torch.qint8, torch.quint8, torch.qint32})
_FEW = 16
"""Numbers that may be a mean or a scale rather than weights."""
_IMAGE_SHARE = 8
"""Fraction, as divisor, of the input's values from which on tensors may hold part of the answer."""
_SHAPE_ONLY = re.compile(r"aten\.(?:new_(?:empty|zeros|ones|full)\w*|(?:empty|zeros|ones|full|randn?|randint)_like)")
"""Operators whose result has nothing of their argument but its shape."""
_FEWEST_PRODUCTS = 1200
"""Products in disguise per LR pixel, fewer of which are gains, masks, and the interpolation between entries of a table:
the smallest convolutional networks have several thousand."""
_BY_NUMBERS = re.compile(r"aten\.(?:r?sub|add|mul|div|addcmul|addcdiv|lerp|pow)_?")
"""Operators whose plain numbers may be weights."""


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
        self._before = _alive()  # holds them, so that no new tensor gets an address of theirs
        self._workspace: dict[int, int] = {}
        self._from_input = {storage_of(lr)}
        self._counted = {storage_of(one) for one in (lr, *network.parameters())}
        self.multiplied = Multiplied(network)
        self._outside = 0
        self.unknown: set[str] = set()
        """Operators that may multiply, and for which there is no formula."""

    @property
    def outside(self) -> int:
        """Numbers made by no operator, if there are enough for a part of the answer."""
        return self._outside if self._outside >= self._share else 0

    @property
    def products(self) -> int:
        """Values made of features and other numbers without a multiply-accumulate, if there are many."""
        return self._products if self._products > _FEWEST_PRODUCTS * self._pixels else 0

    @property
    def workspace(self) -> int:
        """Bytes that the pass writes to and did not allocate."""
        return sum(self._workspace.values())

    def compare_settings(self) -> None:
        """Notes the settings that have changed."""
        now = devices.read_settings()
        self.changed |= {name: value for name, value in now.items() if value != self.settings[name]}

    def saw(self, operator: Any, arguments: Sequence[Any], result: Any) -> None:
        """Called after each operator."""
        self.compare_settings()  # here, since a network may restore them before it returns
        self._compare_devices(result)
        self._note_workspace(operator, arguments)
        name, counted = operators.name(operator), operators.macs(operator, arguments, result)
        if counted is None:
            self.unknown.add(name)
        macs = counted or 0
        self.macs += macs
        self.fixed += 0 if any(storage_of(one) in self._from_input for one in _tensors(arguments)) else macs
        masked = "attention" in name  # whose mask is no weight
        reads = [] if _SHAPE_ONLY.fullmatch(name) else arguments
        if counted == 0 and not operators.is_view(operator):
            self._note_products(operator, reads, result)
        follows = self._note_origins(operator, reads, result, multiplies=macs > 0, masked=masked)
        if follows or macs:  # a table in half precision is no computation
            self._note_types(name, arguments, result, multiplies=macs > 0)
        self.contents.after(operator, arguments, result)

    def _compare_devices(self, result: Any) -> None:
        """Notes a GPU that was not given; tables may be made on the CPU."""
        for one in _tensors(result):
            if one.device != self._device and one.device.type not in ("cpu", "meta"):
                self.changed["device"] = str(one.device)

    def _note_workspace(self, operator: Any, arguments: Sequence[Any]) -> None:
        for one in written(operator, arguments):
            storage = storage_of(one)
            if storage in self._before and storage not in self._counted:
                self._workspace[storage] = one.untyped_storage().nbytes()

    def _note_products(self, operator: Any, arguments: Sequence[Any], result: Any) -> None:
        """Adds up values that an operator without multiply-accumulates makes of features and of other numbers.

        Any such operator will do for a product: sums of logarithms or of squares, activations, normalisation.
        """
        name, inputs = operators.name(operator), _tensors(arguments)
        values = [one for one in inputs if one.is_floating_point() or not INDEXED.fullmatch(name)]
        features = [one for one in values if storage_of(one) in self._from_input]  # not places in a table
        numbers = _BY_NUMBERS.fullmatch(name) and operators.numbers(operator, arguments)
        made = len(features) > 1 and any(map(self.multiplied.only_made, features))
        if features and (numbers or made or any(storage_of(one) not in self._from_input for one in values)):
            self._products += max(one.numel() for one in (*features, *_tensors(result)))

    def _note_origins(
        self, operator: Any, arguments: Sequence[Any], result: Any, *, multiplies: bool, masked: bool
    ) -> bool:
        """True if the result follows from the input."""
        inputs = _tensors(arguments)
        for leaf in filter(self._is_unseen, inputs):
            held = storage_of(leaf) in self._before
            self.multiplied.note_source(leaf, held=held)
            if not held:
                self._from_input.discard(storage_of(leaf))
                self._outside += leaf.numel() if leaf.numel() > _FEW else 0
                self._ledger.enter(leaf)
        features = {storage_of(leaf) for leaf in inputs} & self._from_input
        self.multiplied.note(operators.name(operator), inputs, features, result, multiplies=multiplies, masked=masked)
        follows = bool(features)
        if not follows and (numbers := operators.numbers(operator, arguments)):
            self.multiplied.note_numbers(numbers, result)
        for leaf in _tensors(result):
            (self._from_input.add if follows else self._from_input.discard)(storage_of(leaf))
        self._ledger.enter(result)
        return follows

    def _is_unseen(self, tensor: Tensor) -> bool:
        """True if it is neither input, parameter or buffer nor the result of an operator seen so far."""
        if tensor.layout != torch.strided or tensor.device != self._device:  # which the ledger does not enter
            return storage_of(tensor) in self._before and storage_of(tensor) not in self._counted
        return not self._ledger.knows(tensor)

    def _note_types(self, name: str, arguments: Sequence[Any], result: Any, *, multiplies: bool) -> None:
        masks = all(one.dtype == torch.bool for one in _tensors(arguments))
        for leaf in _tensors(result):
            if leaf.dtype == torch.float32 or leaf.numel() <= _FEW:
                continue
            integers = leaf.dtype in _SMALL_INTEGERS and leaf.numel() >= self._pixels and not masks
            whole = not leaf.is_floating_point() and not leaf.is_complex() and leaf.dtype != torch.bool
            if leaf.is_floating_point() or leaf.dtype in _QUANTISED or integers or (whole and multiplies):
                dtype = str(leaf.dtype).removeprefix("torch.")
                self.precisions.setdefault(dtype, set()).add(name.removeprefix("aten."))

    def connects(self, output: object) -> bool:
        """True if the output follows from the input by operators."""
        return isinstance(output, Tensor) and storage_of(output) in self._from_input


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def _alive() -> dict[int, Tensor]:
    """Storages of all tensors that Python holds, with one of these."""
    gc.collect()
    gc.unfreeze()  # a network may have set its tensors apart
    kinds = frozenset(_kinds(Tensor))  # a test for membership takes a third of the time of one for subclasses
    alive = {storage_of(one): one for one in gc.get_objects() if type(one) in kinds}
    gc.freeze()  # as before: what was imported is nothing to collect
    return alive


def _kinds(kind: type) -> Iterator[type]:
    yield kind
    subclasses: list[type] = type.__subclasses__(kind)
    for one in subclasses:
        yield from _kinds(one)


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
        hidden=watched.multiplied.hidden,
        unknown=tuple(sorted(watched.unknown)),
        outside=watched.outside,
        connected=watched.connects(output),
        ms=elapsed / 1e6,
        operators_ms=min(mode.ns, elapsed) / 1e6,
        products=watched.products,
        rewritten=watched.contents.rewritten,
        filled=watched.contents.filled,
        workspace=watched.workspace,
    )
