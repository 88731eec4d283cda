"""Watches the replay of a pass: types other than float32, work and numbers that no count shows."""

import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from esr.complexity import operators
from esr.complexity.counting import in_every_thread
from esr.complexity.flow import written
from esr.complexity.memory import Ledger
from esr.complexity.storages import storage_of
from esr.evaluation.worker.messages import InspectAnswer
from esr.evaluation.worker.multiplied import INDEXED, Multiplied
from esr.evaluation.worker.replay import Replay
from esr.evaluation.worker.tape import NUMBER_BYTES, tensors

_SMALL_INTEGERS = frozenset({torch.int8, torch.uint8, torch.int16, torch.int32})
_QUANTISED = frozenset({torch.qint8, torch.quint8, torch.qint32})
_FEW = 16
"""Numbers that may be a mean or a scale rather than weights."""
_BLANK = re.compile(r"aten\.(?:new_)?(?:empty|zeros|ones|full)\w*|aten\.(?:resize|zero|fill)_")
"""Operators whose result something else may be about to fill."""
_SHAPE_ONLY = re.compile(r"aten\.(?:new_(?:empty|zeros|ones|full)\w*|(?:empty|zeros|ones|full|randn?|randint)_like)")
"""Operators whose result has nothing of their argument but its shape."""
_FEWEST_PRODUCTS = 1200
"""Products in disguise per LR pixel, fewer of which are gains, masks, and the interpolation between entries of a table:
the smallest convolutional networks have several thousand."""
_BY_NUMBERS = re.compile(r"aten\.(?:r?sub|add|mul|div|addcmul|addcdiv|lerp|pow)_?")
"""Operators whose plain numbers may be weights."""


class _Inspection:
    """Notes what each operator of one pass does."""

    def __init__(self, network: Replay, lr: Tensor) -> None:
        self.precisions: dict[str, set[str]] = {}
        self.macs = 0
        self.fixed = 0
        self.rewritten = 0
        """Numbers in storages that changed although an operator had filled them."""
        self.filled = 0
        """Numbers in storages that changed after an operator had made them empty or constant."""
        self.unknown: set[str] = set()
        """Operators that may multiply, and for which there is no formula."""
        self.foreign = False
        self.numbers = 0
        """Plain numbers that operators computed with."""
        self.multiplied = Multiplied(network)
        self._products = 0
        self._device = lr.device
        self._pixels = lr.numel() // lr.shape[1]
        self._ledger = Ledger(network, lr)
        self._given = {storage_of(leaf) for leaf in network.given.values() if leaf is not None}
        self._counted = {storage_of(one) for one in (lr, *network.parameters())}
        self._from_input = {storage_of(lr)}
        self._blank: set[int] = set()
        self._workspace: dict[int, int] = {}

    @property
    def products(self) -> int:
        """Values made of features and other numbers without a multiply-accumulate, if there are many."""
        return self._products if self._products > _FEWEST_PRODUCTS * self._pixels else 0

    @property
    def workspace(self) -> int:
        """Bytes that the pass writes to and did not allocate."""
        return sum(self._workspace.values())

    def overwrote(self, tensor: Tensor) -> None:
        """Called after a storage has changed by no operator."""
        storage = tensor.untyped_storage()
        if storage_of(tensor) in self._blank:
            self.filled += storage.nbytes() // NUMBER_BYTES
        else:
            self.rewritten += storage.nbytes() // NUMBER_BYTES
        self._blank.discard(storage_of(tensor))
        if storage_of(tensor) not in self._from_input:
            self.multiplied.note_overwritten(tensor)

    def saw(self, operator: Any, arguments: Sequence[Any], result: Any) -> None:
        """Called after each operator."""
        self._note_written(operator, arguments, result)
        name, counted = operators.name(operator), operators.macs(operator, arguments, result)
        if counted is None:
            self.unknown.add(name)
        self.foreign |= isinstance(operator, operators.Foreign)
        self.numbers += len(operators.numbers(operator, arguments))
        macs = counted or 0
        self.macs += macs
        self.fixed += 0 if any(storage_of(one) in self._from_input for one in tensors(arguments)) else macs
        masked = "attention" in name  # whose mask is no weight
        reads = [] if _SHAPE_ONLY.fullmatch(name) else arguments
        if counted == 0 and not operators.is_view(operator):
            self._note_products(operator, reads, result)
        follows = self._note_origins(operator, reads, result, multiplies=macs > 0, masked=masked)
        if follows or macs:  # a table in half precision is no computation
            self._note_types(name, arguments, result, multiplies=macs > 0)

    def _note_written(self, operator: Any, arguments: Sequence[Any], result: Any) -> None:
        """Notes memory that the pass did not allocate, and results without contents."""
        changed = written(operator, arguments)
        for one in changed:
            storage = storage_of(one)
            if storage in self._given and storage not in self._counted:
                self._workspace[storage] = one.untyped_storage().nbytes()
        if not operators.is_view(operator):
            blank = _BLANK.fullmatch(operators.name(operator)) is not None
            for one in (*tensors(result), *changed):
                (self._blank.add if blank else self._blank.discard)(storage_of(one))

    def _note_products(self, operator: Any, arguments: Sequence[Any], result: Any) -> None:
        """Adds up values that an operator without multiply-accumulates makes of features and of other numbers.

        Any such operator will do for a product: sums of logarithms or of squares, activations, normalisation.
        """
        name, inputs = operators.name(operator), tensors(arguments)
        values = [one for one in inputs if one.is_floating_point() or not INDEXED.fullmatch(name)]
        features = [one for one in values if storage_of(one) in self._from_input]  # not places in a table
        numbers = _BY_NUMBERS.fullmatch(name) and operators.numbers(operator, arguments)
        made = len(features) > 1 and any(map(self.multiplied.only_made, features))
        if features and (numbers or made or any(storage_of(one) not in self._from_input for one in values)):
            self._products += max(one.numel() for one in (*features, *tensors(result)))

    def _note_origins(
        self, operator: Any, arguments: Sequence[Any], result: Any, *, multiplies: bool, masked: bool
    ) -> bool:
        """True if the result follows from the input."""
        inputs = tensors(arguments)
        for leaf in filter(self._is_unseen, inputs):
            self.multiplied.note_source(leaf)
        features = {storage_of(leaf) for leaf in inputs} & self._from_input
        self.multiplied.note(operators.name(operator), inputs, features, result, multiplies=multiplies, masked=masked)
        follows = bool(features)
        if not follows and (numbers := operators.numbers(operator, arguments)):
            self.multiplied.note_numbers(numbers, result)
        for leaf in tensors(result):
            (self._from_input.add if follows else self._from_input.discard)(storage_of(leaf))
        self._ledger.enter(result)
        return follows

    def _is_unseen(self, tensor: Tensor) -> bool:
        """True if it is neither input, parameter or buffer nor the result of an operator seen so far."""
        if tensor.layout != torch.strided or tensor.device != self._device:  # which the ledger does not enter
            return storage_of(tensor) in self._given and storage_of(tensor) not in self._counted
        return not self._ledger.knows(tensor)

    def _note_types(self, name: str, arguments: Sequence[Any], result: Any, *, multiplies: bool) -> None:
        masks = all(one.dtype == torch.bool for one in tensors(arguments))
        for leaf in tensors(result):
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


def inspect(network: Replay, lr: Tensor) -> tuple[Tensor, InspectAnswer]:
    """Runs one recorded pass under watch.

    Args:
        network: The pass.
        lr: The input.

    Returns:
        The pass's output, and the findings.
    """
    network.watcher = watched = _Inspection(network, lr)
    with in_every_thread(watched.saw):
        output = network(lr)
    network.watcher = None
    return output, InspectAnswer(
        precisions={dtype: tuple(sorted(names)) for dtype, names in sorted(watched.precisions.items())},
        macs=watched.macs,
        fixed=watched.fixed,
        params=sum(one.numel() for one in network.parameters()),
        hidden=watched.multiplied.hidden,
        constants=network.constants + watched.numbers,
        operators=network.steps,
        unknown=tuple(sorted(watched.unknown)),
        foreign=watched.foreign,
        connected=watched.connects(output),
        products=watched.products,
        rewritten=watched.rewritten,
        filled=watched.filled,
        workspace=watched.workspace,
    )
