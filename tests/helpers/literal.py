"""Runs a network's graph from the reference data operator by operator, and measures live memory.

The run is what a network here must match in its output and must not exceed in memory: each operator is called
as the graph states it, and each intermediate result is freed after its last use.
"""

import operator
import re
import weakref
from collections.abc import Callable, Mapping
from types import CodeType
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

STEP = re.compile(r"(?P<result>%\w+) = (?P<operator>\w+)\((?P<arguments>.*)\) -> .*\t\[.*\]")
REFERENCE = re.compile(r"%\w+|\binput\b(?!\.)")
CONSTANTS: dict[str, Any] = {
    "torch": torch,
    "device": torch.device,
    "tensor": lambda value, dtype: torch.tensor(value, dtype=dtype),
    "float32": torch.float32,
    "arguments": lambda *positional, **named: (positional, named),
}


class LiteralGraph:
    """A graph file as a function of a 1×3×48×64 input; other sizes are not what the graph describes."""

    def __init__(self, text: str, state: Mapping[str, Tensor]) -> None:
        steps = [match for match in map(STEP.fullmatch, text.splitlines()) if match]
        self.state = state
        self.returned = text.rpartition("return [")[2].partition("]")[0]
        self.steps = [
            (step["result"], _function(step["operator"]), self._compiled(step["arguments"])) for step in steps
        ]
        last_use = {name: index for index, step in enumerate(steps) for name in REFERENCE.findall(step["arguments"])}
        self.freed: list[list[str]] = [[] for _ in steps]
        for name, index in last_use.items():
            if name != self.returned:
                self.freed[index].append(name)

    def __call__(self, x: Tensor) -> Tensor:
        values: dict[str, Any] = {"input": x}
        names = {**CONSTANTS, "values": values, "state": self.state}
        for (result, function, arguments), freed in zip(self.steps, self.freed, strict=True):
            positional, named = eval(arguments, names)
            values[result] = function(*positional, **named)
            del positional, named
            for name in freed:
                del values[name]
        output: Tensor = values[self.returned]
        return output

    def _compiled(self, arguments: str) -> CodeType:
        text = REFERENCE.sub(lambda match: f"values[{match[0]!r}]", arguments)
        text = re.sub(r"(?<!['%\w])[A-Za-z_][\w.]*", self._entry, text)
        return compile(f"arguments({text})", "<graph>", "eval")

    def _entry(self, match: re.Match[str]) -> str:
        return f"state[{match[0]!r}]" if match[0] in self.state else match[0]


def _function(name: str) -> Callable[..., Any]:
    if name == "getitem":
        return operator.getitem
    function: Callable[..., Any] = getattr(torch.ops.aten, name)
    return function


class _LiveMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all storages that some tensor made within the mode still refers to."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tensors: dict[int, int] = {}
        self.sizes: dict[int, int] = {}
        self.watched: set[int] = set()
        self.peak = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor) and id(leaf) not in self.watched:
                self._watch(leaf)
        self.peak = max(self.peak, sum(self.sizes.values()))
        return result

    def _watch(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        address = storage.data_ptr()
        self.watched.add(id(tensor))
        self.tensors[address] = self.tensors.get(address, 0) + 1
        self.sizes[address] = storage.nbytes()
        weakref.finalize(tensor, self._forget, id(tensor), address)

    def _forget(self, identity: int, address: int) -> None:
        self.watched.discard(identity)
        self.tensors[address] -= 1
        if not self.tensors[address]:
            del self.tensors[address], self.sizes[address]


def run_and_weigh(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, int]:
    """Output of an inference pass, and the most bytes that intermediate results take together, the output included."""
    memory = _LiveMemory()
    with torch.inference_mode(), memory:
        output = function(x)
    return output, memory.peak
