"""The way of the data through one pass: operators that reach the output, and work that no operator did.

Storages are followed from the operator that made them. A storage that is read though nobody filled it, or that no
operator made, was written by something else: a compiled extension, a kernel launched directly, ctypes, NumPy.
"""

import gc
import linecache
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from esr.complexity import fvcore, operators
from esr.complexity.storages import ByStorage
from esr.records.network import OUTSIDE

EMPTY = re.compile(r"aten\.(?:new_)?empty\w*")
"""Operators whose result is memory as it happens to be."""
_UNFILLED = re.compile(rf"{EMPTY.pattern}|aten\.resize_")
"""Operators that make a tensor without values."""
_SHAPE_ONLY = re.compile(rf"{_UNFILLED.pattern}|aten\.(?:new|sym|_assert)_\w+|aten\.\w+_like|aten\.is_same_size")
"""Operators that read the shape of a tensor and not its values."""
_EXITS = frozenset((Tensor.numpy, Tensor.data_ptr, Tensor.tolist, Tensor.__array__, Tensor.__dlpack__))
"""Methods that hand a tensor's values, or their address, to something else."""
_MAKERS = frozenset((torch.tensor, torch.as_tensor, torch.asarray))
"""Functions that copy values from Python or NumPy, whose origin `_EXITS` tells."""
_ALLOCATORS = re.compile(r"(?:.*\.)?(?:(?:new_)?empty\w*|resize_)")
_OWN_FOLDERS = (str(Path(torch.__file__).parent), str(Path(__file__).parent))
_UNNAMEABLE = re.compile(r"<locals>\.|[<>]")


class _Call(NamedTuple):
    """An operator that the network called itself."""

    flops: int
    reads: frozenset[int]
    writes: frozenset[int]


class Flow:
    """Follows the storages of one pass, within `set_apart`.

    Args:
        image: the network's input.
        lenient: accepts storages that no operator made, as scripted modules hold constants that cannot be listed.
    """

    def __init__(self, image: Tensor, lenient: bool) -> None:
        self.outside: Counter[str] = Counter()
        """Name of work that no operator did -> its number of results."""
        self._lenient = lenient
        self._labels: ByStorage[int] = ByStorage(lambda label: self._unfilled.pop(label, None))
        self._made = 0
        self._unfilled: dict[int, str] = {}
        self._calls: list[_Call] = []
        self._result: frozenset[int] = frozenset()
        self._from_image = {self._label(image)}

    def operator(self, operator: Any, arguments: Sequence[Any], result: Any) -> None:
        """Takes note of an operator that is not made of others."""
        name = operators.name(operator)
        changed = written(operator, arguments)
        reads = [] if _SHAPE_ONLY.fullmatch(name) else self._reads(operator, arguments, changed)
        derived = not self._from_image.isdisjoint(reads)
        is_view = operators.is_view(operator)
        for tensor in (*_tensors(result), *changed):
            label = self._label(tensor)
            if not is_view:
                self._unfilled.pop(label, None)
            if _UNFILLED.fullmatch(name) and tensor.numel():
                self._unfilled[label] = _caller()
            if derived:
                self._from_image.add(label)

    def call(self, operator: Any, arguments: Sequence[Any], result: Any) -> None:
        """Takes note of an operator that the network called itself."""
        changed = self._labels_of((*_tensors(result), *written(operator, arguments)))
        reads = self._labels_of(_tensors(arguments))
        self._calls.append(_Call(fvcore.flops(operator, arguments, result), reads, changed))

    def output(self, result: Any) -> None:
        """Takes note of the network's result."""
        tensors = list(_tensors(result))
        for tensor in tensors:
            if not self._check_made(tensor, lambda: "output"):
                self._check_filled(self._label(tensor))
        self._result = self._labels_of(tensors)

    def flops(self) -> int:
        """Fvcore's count over the operators that the result depends on; over all of them if it is not known."""
        if not self._result:
            return sum(call.flops for call in self._calls)
        total, needed = 0, set(self._result)
        for call in reversed(self._calls):
            if not needed.isdisjoint(call.writes):
                total += call.flops
                needed |= call.reads
        return total

    def leaves(self, tensor: Tensor) -> bool:
        """True if the tensor depends on the image; its values were asked for, which is reported."""
        if not _is_dense(tensor) or self._label(tensor) not in self._from_image:
            return False
        self.outside[_caller() + OUTSIDE] += 1
        return True

    @contextmanager
    def constants(self) -> Iterator[None]:
        """Meanwhile, storages that no operator made are accepted."""
        before, self._lenient = self._lenient, True
        try:
            yield
        finally:
            self._lenient = before

    def _reads(self, operator: Any, arguments: Sequence[Any], filled: Sequence[Tensor]) -> list[int]:
        """Labels of the tensors whose values an operator uses; those of unknown origin are reported."""
        labels = []
        changed = {id(tensor) for tensor in filled}
        for tensor in _tensors(arguments):
            reported = self._check_made(tensor, _caller)
            label = self._label(tensor)
            labels.append(label)
            if not reported and id(tensor) not in changed and not operators.is_view(operator):
                self._check_filled(label)
        return labels

    def _check_made(self, tensor: Tensor, place: Callable[[], str]) -> bool:
        """Reports a new tensor whose storage no operator made."""
        if self._labels.get(tensor) is not None or self._lenient or not tensor.numel():
            return False
        label = self._label(tensor)
        if is_new := any(thing is tensor for thing in gc.get_objects()):
            self._report(label, place())
        return is_new

    def _check_filled(self, label: int) -> None:
        if place := self._unfilled.pop(label, None):
            self._report(label, place)

    def _report(self, label: int, place: str) -> None:
        self.outside[place + OUTSIDE] += 1
        self._from_image.add(label)

    def _labels_of(self, tensors: Iterable[Tensor]) -> frozenset[int]:
        return frozenset(map(self._label, tensors))

    def _label(self, tensor: Tensor) -> int:
        """A storage's number; an address is used again once its storage is freed."""
        label = self._labels.get(tensor)
        if label is None:
            label = self._made = self._made + 1
            self._labels.put(tensor, label)
        return label


class ExitMode(TorchFunctionMode):
    """Reports to a flow when the values of a tensor, or their address, leave PyTorch.

    On the `meta` device it refuses instead, since there is nothing at the address.
    """

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self._flow = flow

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs the function."""
        if func in _MAKERS:
            with self._flow.constants():
                return func(*args, **(kwargs or {}))
        if func in _EXITS and args and isinstance(args[0], Tensor) and self._flow.leaves(args[0]) and args[0].is_meta:
            raise RuntimeError(f"{func.__name__} of a tensor without values")
        return func(*args, **(kwargs or {}))


@contextmanager
def set_apart() -> Iterator[None]:
    """Sets what exists apart from what is made meanwhile, which alone `gc.get_objects` then lists; nothing collects.

    A network may keep constants anywhere; a process holds several 100,000 objects, too many to search. The collector
    would free memory at random moments.
    """
    collecting = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if collecting:
            gc.enable()


def _tensors(values: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor) and _is_dense(leaf))


def _is_dense(tensor: Tensor) -> bool:
    try:
        return tensor.layout == torch.strided and bool(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # a wrapper around other tensors
        return False


def written(operator: Any, arguments: Sequence[Any]) -> list[Tensor]:
    """Arguments that an operator changes."""
    schema = getattr(operator, "_schema", None)
    if schema is None:
        return []
    pairs = zip(schema.arguments, arguments, strict=False)
    changed = [value for stated, value in pairs if stated.alias_info is not None and stated.alias_info.is_write]
    return list(_tensors(changed))


def _caller() -> str:
    """The network's innermost call in its source, as `module.function`; else the function that contains it."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_OWN_FOLDERS):
        frame = frame.f_back
    if frame is None:
        return "unknown"
    called = _called(frame)
    if called and not _ALLOCATORS.fullmatch(called):
        return called
    return _UNNAMEABLE.sub("", getattr(frame.f_code, "co_qualname", frame.f_code.co_name))


def _called(frame: FrameType) -> str:
    """The text in front of the parenthesis of the call that a frame is making; empty where there is none."""
    line, start = _position(frame.f_code, frame.f_lasti)
    text = linecache.getline(frame.f_code.co_filename, line).encode()[start:].decode(errors="replace") if line else ""
    found = re.match(r"([A-Za-z_][\w.]{0,80})\(", text)
    return found[1] if found else ""


def _position(code: CodeType, instruction: int) -> tuple[int, int]:
    """Line and first byte of an instruction's source; (0, 0) where it is not recorded, as before Python 3.11."""
    if not hasattr(code, "co_positions"):
        return 0, 0
    line, _, start, _ = next(islice(code.co_positions(), instruction // 2, None), (None, None, None, None))
    return (line, start) if line is not None and start is not None else (0, 0)
