"""Records a pass in the network's own worker, where nothing is believed: whoever replays the tape finds out."""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.weak import WeakTensorKeyDictionary

from esr.complexity import operators
from esr.complexity.counting import in_every_thread
from esr.complexity.flow import written
from esr.complexity.replica import as_written, registered
from esr.complexity.storages import ByStorage, storage_of
from esr.evaluation.worker.contents import Contents
from esr.evaluation.worker.envelope import word
from esr.evaluation.worker.messages import RecordAnswer
from esr.evaluation.worker.tape import (
    MOST_BYTES,
    Call,
    Given,
    Overwritten,
    Step,
    Tape,
    TensorRole,
    Unrecordable,
    Unshared,
    View,
    encoded,
    extent_of,
    is_plain,
    raw_bytes,
    tensors,
)
from esr.networks import devices
from esr.records.network import SettingValue


def record(
    network: nn.Module, lr: Tensor, run: Callable[[], Tensor], settings: Mapping[str, SettingValue]
) -> tuple[Tensor, RecordAnswer]:
    """Runs one pass and records it.

    Args:
        network: The network.
        lr: The input.
        run: One forward pass over it.
        settings: As `devices.read_settings` returned them before the network was loaded.

    Returns:
        The pass's output, and what was recorded.
    """
    sent = lr.clone()
    recorder = _Recorder(network, lr, settings)
    with as_written(), in_every_thread(recorder.after, before=recorder.before):
        output = run()
    recorder.compare_settings()
    tape, fault = b"", recorder.fault
    if fault is None and isinstance(output, Tensor):
        try:
            tape = recorder.tape(output)
        except Unrecordable as error:
            fault = str(error)
    changes_input = not torch.equal(lr, sent)
    return output, RecordAnswer(np.frombuffer(tape, np.uint8), fault and word(fault), recorder.changed, changes_input)


class _Recorder:
    """Notes each operator, and each tensor that no operator made when it is used first."""

    def __init__(self, network: nn.Module, lr: Tensor, settings: Mapping[str, SettingValue]) -> None:
        self.fault: str | None = None
        self.changed: dict[str, SettingValue] = {}
        self._settings, self._device = settings, lr.device
        roles: list[tuple[TensorRole, Tensor]] = [("input", lr)]
        roles += [("parameter", one) for one in network.parameters()]
        roles += [("buffer", one) for one in network.buffers()]
        self._registered: dict[int, list[tuple[TensorRole, Tensor]]] = {}
        for role, tensor in roles:
            self._registered.setdefault(storage_of(tensor), []).append((role, tensor))
        self._contents = Contents([lr, *registered(network)])
        self._steps: list[Step] = []
        self._storages: list[bytes] = []
        self._bytes = 0
        self._made = 0
        self._numbers: MutableMapping[Tensor, tuple[int, int]] = WeakTensorKeyDictionary()
        """Tensor -> its number and its storage, which may be exchanged."""
        self._first: ByStorage[int] = ByStorage()
        """Number of a tensor in a storage."""
        self._pending: list[tuple[Any, Call | None, int]] = []
        """Operators that run, with their calls and the number of steps before; also those that have failed."""

    def compare_settings(self) -> None:
        """Notes the settings that have changed."""
        now = devices.read_settings()
        self.changed |= {name: value for name, value in now.items() if value != self._settings[name]}

    def before(self, operator: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> None:
        """Called before each operator."""
        call = None
        try:
            with _disable_current_modes():
                for tensor in tensors((arguments, keywords)):
                    self._number(tensor)
                if not operators.is_view(operator):
                    self._note_changes(tensors((arguments, keywords)))
                call = self._call(operator, arguments, keywords)
        except Unrecordable as error:
            self.fault = self.fault or str(error)
        self._pending.append((operator, call, len(self._steps)))

    def after(self, operator: Any, arguments: Sequence[Any], result: Any) -> None:
        """Called after each operator."""
        self.compare_settings()  # here, since a network may restore them before it returns
        for one in tensors(result):
            if one.device != self._device and one.device.type not in ("cpu", "meta"):  # tables may be made on the CPU
                self.changed["device"] = str(one.device)
        begun, call, length = self._pending.pop()
        while begun is not operator:
            begun, call, length = self._pending.pop()
        try:
            with _disable_current_modes():
                self._add_operator(operator, call, arguments, tensors(result), length)
        except Unrecordable as error:
            self.fault = self.fault or str(error)
        self._contents.after(operator, arguments, result)

    def tape(self, output: Tensor) -> bytes:
        """The pass as a `Tape`."""
        self._note_changes([output])
        number = self._number(output)
        return msgspec.msgpack.encode(Tape(tuple(self._steps), tuple(self._storages), number))

    def _add(self, step: Step) -> None:
        if self.fault is None:
            self._steps.append(step)

    def _call(self, operator: Any, arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Call | None:
        """The operator with its arguments; `None` if they stand on no tape, or only this process has the operator."""
        if not operators.is_shared(operator):
            return None
        try:
            args = tuple(encoded(one, self._number) for one in arguments)
            return Call(str(operator), args, {name: encoded(one, self._number) for name, one in keywords.items()}, ())
        except Unrecordable:
            return None

    def _add_operator(
        self, operator: Any, call: Call | None, arguments: Sequence[Any], results: Sequence[Tensor], before: int
    ) -> None:
        """Adds an operator that has run.

        Args:
            operator: The operator.
            call: Its call, if it can be repeated.
            arguments: Its arguments.
            results: Tensors in its result.
            before: Number of steps when it began.
        """
        if len(self._steps) > before and all(map(self._is_known, results)):
            return  # it is written in Python, and its parts are recorded
        if call is not None:
            self._add(msgspec.structs.replace(call, results=tuple(map(self._number_result, results))))
            return
        if operators.is_bookkeeping(operator) and not results:
            return
        read = tensors(arguments)
        reads = tuple(map(self._number, read))
        mutated = {self._number(one): one for one in (*self._contents.changed(read), *written(operator, arguments))}
        changed = [Overwritten(number, self._content(one)) for number, one in mutated.items()]
        fresh = [one for one in results if not self._is_known(one)]
        given = [self._given("other", self._number_result(one), one) for one in fresh]
        self._add(Unshared(operators.name(operator), reads, tuple(given), tuple(changed)))

    def _note_changes(self, used: Sequence[Tensor]) -> None:
        for tensor in self._contents.changed(used):
            self._add(Overwritten(self._number(tensor), self._content(tensor)))

    def _number(self, tensor: Tensor) -> int:
        """The tensor's number; one that no operator made gets it now."""
        if self._is_known(tensor):
            return self._numbers[tensor][0]
        if not is_plain(tensor):
            raise Unrecordable(f"a tensor of type {type(tensor).__name__}, {tensor.layout}")
        if self._first_in(tensor) is None:
            for role, one in self._registered.get(storage_of(tensor), ()):
                self._give(role, one)
        if not self._is_known(tensor):
            if (of := self._first_in(tensor)) is not None:
                self._add(View(self._number_result(tensor), of, extent_of(tensor)))
            else:
                self._give("other", tensor)
        return self._numbers[tensor][0]

    def _first_in(self, tensor: Tensor) -> int | None:
        """Number of a tensor in the same storage."""
        return self._first.get(tensor) if tensor.layout == torch.strided else None

    def _is_known(self, tensor: Tensor) -> bool:
        return tensor in self._numbers and self._numbers[tensor][1] == storage_of(tensor)

    def _give(self, role: TensorRole, tensor: Tensor) -> None:
        self._add(self._given(role, self._number_result(tensor), tensor))
        self._contents.note(tensor)

    def _given(self, role: TensorRole, number: int, tensor: Tensor) -> Given:
        dense, scale = tensor if tensor.layout == torch.strided else tensor.to_dense(), None
        if tensor.is_quantized:
            if tensor.qscheme() != torch.per_tensor_affine:
                raise Unrecordable(f"a tensor quantised by {tensor.qscheme()}")
            dense, scale = tensor.int_repr(), (tensor.q_scale(), tensor.q_zero_point())
        if role != "input":
            self._storages.append(self._content(dense))
        return Given(number, role, max(0, len(self._storages) - 1), extent_of(dense), str(tensor.layout), scale)

    def _content(self, tensor: Tensor) -> bytes:
        self._bytes += tensor.untyped_storage().nbytes()
        if self._bytes > MOST_BYTES:
            raise Unrecordable(f"more than {MOST_BYTES / 2**30:g} GiB of numbers that no operator made")
        return raw_bytes(tensor.untyped_storage()).cpu().numpy().tobytes()

    def _number_result(self, tensor: Tensor) -> int:
        """A new number, unless the operator returned one of its arguments."""
        if self._is_known(tensor):
            return self._numbers[tensor][0]
        self._made += 1
        self._numbers[tensor] = self._made, storage_of(tensor)
        if tensor.layout == torch.strided and self._first.get(tensor) is None:
            self._first.put(tensor, self._made)
        return self._made
