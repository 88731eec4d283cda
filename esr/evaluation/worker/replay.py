"""Replays a tape, in a process that knows no stranger's code."""

import re
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from esr.complexity import operators
from esr.errors import NetworkError
from esr.evaluation.worker.tape import (
    NAMES,
    NUMBER_BYTES,
    Call,
    Complex,
    Given,
    Items,
    Named,
    OnDevice,
    Overwritten,
    Ref,
    Step,
    Tape,
    Unshared,
    Value,
    View,
    raw_bytes,
    references,
    tensor_in,
    tensors,
)
from esr.text import one_line

_OPERATOR = re.compile(r"(\w+)\.(\w+)\.(\w+)")


class ReplayWatcher(Protocol):
    """Learns of what is no call of an operator."""

    def overwrote(self, tensor: Tensor) -> None:
        """A storage was overwritten, that of this tensor."""

    def saw(self, operator: Any, arguments: Sequence[Any], result: Any) -> None:
        """An operator has run, or left its results on the tape."""


class Replay(nn.Module):
    """A network that does what is on a tape; its parameters and buffers are those that the tape says to be some.

    Args:
        raw: A `Tape`.
        device: The device that it runs on.

    Raises:
        NetworkError: It is no tape, or one of operators that do not exist.
    """

    def __init__(self, raw: bytes, device: torch.device) -> None:
        super().__init__()
        self.watcher: ReplayWatcher | None = None
        self.given: dict[int, Tensor | None]
        """Number -> tensor that no operator made; `None` for the input."""
        self._device = device
        try:
            self._tape = msgspec.msgpack.decode(raw, type=Tape)
            self._operators = [_resolved(step) for step in self._tape.steps]
            sizes = map(len, self._tape.storages)
            self._storages = [torch.empty(one, dtype=torch.uint8, device=device).untyped_storage() for one in sizes]
            self._fill()
            self.given = {one.number: self._leaf(one) for one in self._tape.steps if isinstance(one, Given)}
            foreign = [step for step in self._tape.steps if isinstance(step, Unshared)]
            self._left = {one.number: self._leaf(one) for step in foreign for one in step.results}
        except (msgspec.MsgspecError, ValueError, KeyError, IndexError, RuntimeError, TypeError) as error:
            raise NetworkError(f"no recorded pass: {error}") from error
        self._last = _last_uses(self._tape)

    @property
    def constants(self) -> int:
        """Numbers on the tape that are no parameters."""
        held = sum(len(content) for content in self._tape.storages)
        steps = (step for one in self._tape.steps for step in (one.changed if isinstance(one, Unshared) else [one]))
        changed = sum(len(step.content) for step in steps if isinstance(step, Overwritten))
        return max(0, (held + changed) // NUMBER_BYTES - sum(one.numel() for one in self.parameters()))

    @property
    def steps(self) -> int:
        """Number of steps on the tape."""
        return len(self._tape.steps)

    def forward(self, x: Tensor) -> Tensor:
        """The recorded pass over an input of the recorded size."""
        self._fill()  # an earlier pass may have written there
        alive = {number: x if leaf is None else leaf for number, leaf in (self.given | self._left).items()}
        for place, (step, operator) in enumerate(zip(self._tape.steps, self._operators, strict=True)):
            self._take(step, operator, alive)
            for number in self._last.get(place, ()):
                alive.pop(number, None)
        return alive[self._tape.output]

    def _fill(self) -> None:
        with _disable_current_modes():
            for storage, content in zip(self._storages, self._tape.storages, strict=True):
                _write(storage, content)

    def _leaf(self, given: Given) -> Tensor | None:
        """The tensor; `None` for the input."""
        if given.role == "input":
            return None
        tensor = tensor_in(self._storages[given.storage], given.extent)
        if given.scale is not None:
            tensor = torch._make_per_tensor_quantized_tensor(tensor, *given.scale)
        elif given.layout == "torch._mkldnn":
            tensor = tensor.to_mkldnn()
        elif given.layout != "torch.strided":
            tensor = tensor.to_sparse(layout=NAMES[given.layout])
        if given.role == "parameter":
            tensor = nn.Parameter(tensor, requires_grad=False)
            self.register_parameter(f"parameter_{given.number}", tensor)
        elif given.role == "buffer":
            self.register_buffer(f"buffer_{given.number}", tensor)
        return tensor

    def _take(self, step: Step, operator: Any, alive: dict[int, Tensor]) -> None:
        if isinstance(step, Call):
            args = [self._value(one, alive) for one in step.args]
            keywords = {name: self._value(one, alive) for name, one in step.kwargs.items()}
            alive.update(zip(step.results, tensors(operator(*args, **keywords)), strict=True))
        elif isinstance(step, View):
            with _disable_current_modes():
                alive[step.number] = tensor_in(alive[step.of].untyped_storage(), step.extent)
        elif isinstance(step, Overwritten):
            self._overwrite(step, alive)
        elif isinstance(step, Unshared):
            for one in step.changed:
                self._overwrite(one, alive)
            if self.watcher:
                results = [alive[one.number] for one in step.results]
                self.watcher.saw(
                    operators.Foreign(one_line(step.operator)), [alive[one] for one in step.reads], results
                )

    def _overwrite(self, step: Overwritten, alive: dict[int, Tensor]) -> None:
        tensor = alive[step.number]
        with _disable_current_modes():
            _write(tensor.untyped_storage(), step.content)
        if self.watcher:
            self.watcher.overwrote(tensor)

    def _value(self, value: Value, alive: dict[int, Tensor]) -> Any:
        """An operator's argument."""
        if isinstance(value, Ref):
            return alive[value.number]
        if isinstance(value, Items):
            return [self._value(one, alive) for one in value.items]
        if isinstance(value, Named):
            return NAMES[value.name]
        if isinstance(value, OnDevice):
            return torch.device("cpu") if value.on_cpu else self._device
        return complex(value.real, value.imag) if isinstance(value, Complex) else value


def _resolved(step: Step) -> Any:
    """The operator of a call; `None` for other steps."""
    if not isinstance(step, Call):
        return None
    parts = _OPERATOR.fullmatch(step.operator)
    packet = getattr(getattr(torch.ops, parts[1]), parts[2], None) if parts else None
    operator = getattr(packet, parts[3], None) if parts else None
    if not operators.is_shared(operator):
        raise ValueError(f"no operator {step.operator!r}")
    return operator


def _write(storage: torch.UntypedStorage, content: bytes) -> None:
    if content:
        raw_bytes(storage).copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))


def _last_uses(tape: Tape) -> dict[int, list[int]]:
    """Index of a step -> numbers of tensors that no later one uses."""
    last: dict[int, int] = {}
    for place, step in enumerate(tape.steps):
        last |= dict.fromkeys(_used(step), place)
    last.pop(tape.output, None)
    found: dict[int, list[int]] = {}
    for number, place in last.items():
        found.setdefault(place, []).append(number)
    return found


def _used(step: Step) -> Sequence[int]:
    """Numbers of the tensors that a step reads or makes."""
    if isinstance(step, Call):
        arguments = (*step.args, *step.kwargs.values())
        return [*step.results, *(number for one in arguments for number in references(one))]
    if isinstance(step, Unshared):
        results = [one.number for one in step.results]
        return [*step.reads, *results, *(one.number for one in step.changed)]
    return [step.number, step.of] if isinstance(step, View) else [step.number]
