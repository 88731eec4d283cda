"""Watches a network while it is built: forward passes, files that are read, the way its weights are loaded."""

import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

from torch import nn

_SUBSTANTIAL = 0.5
"""Share of the network's parameters that a part must have for its passes to count as the network's."""
_CODE = (".py", ".pyc", ".so", ".pyi")


class Watched:
    """Findings of `watched`."""

    def __init__(self) -> None:
        self.calls: list[nn.Module] = []
        """The module of each outermost forward pass."""
        self.opened: dict[str, None] = {}
        """Paths of files opened for reading, code left out."""
        self.strict: bool | None = None
        """False if any state dict was loaded with `strict=False`; `None` if none was loaded."""
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self._depth = 0
        self._loads = 0

    def passes(self, network: nn.Module) -> int:
        """Number of forward passes of a network or of the greater part of it."""
        least = _SUBSTANTIAL * _size(network) or math.inf  # no part of a network without parameters counts
        return sum(one is network or _size(one) >= least for one in self.calls)

    def note_call(self, frame: FrameType, event: str, _: Any) -> None:
        """Profiler that notes outermost calls of methods `forward`."""
        if frame.f_code.co_name != "forward" or event not in ("call", "return"):
            return
        if event == "return":
            self._depth = max(0, self._depth - 1)
            return
        self._depth += 1
        if self._depth == 1 and isinstance(module := frame.f_locals.get("self"), nn.Module):
            self.calls.append(module)

    def load_state_dict(self, original: Any) -> Any:
        """`load_state_dict` that notes how its outermost call is made."""

        def load(module: nn.Module, state_dict: Any, strict: bool = True, *args: Any, **kwargs: Any) -> Any:
            self._loads += 1
            try:
                result = original(module, state_dict, strict, *args, **kwargs)
            finally:
                self._loads -= 1
            if self._loads == 0:
                self.strict = bool(strict) and self.strict is not False
                self.missing += getattr(result, "missing_keys", ())
                self.unexpected += getattr(result, "unexpected_keys", ())
            return result

        return load


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


_watching: list[Watched] = []
"""The findings to which opened files are added."""


@cache
def _hook() -> None:
    """Adds the hook once per process, since it cannot be removed."""
    sys.addaudithook(_note_open)


def _note_open(event: str, args: tuple[Any, ...]) -> None:
    if event != "open" or not _watching or not isinstance(args[0], (str, bytes)):
        return
    path, mode = args[0], args[1]
    name = path.decode(errors="replace") if isinstance(path, bytes) else path
    reads = mode is None or not set(str(mode)) & set("wax+")
    if reads and not name.endswith(_CODE) and not name.startswith(("/proc/", "/sys/", "/dev/", "/etc/")):
        _watching[-1].opened[str(Path(name).absolute())] = None


@contextmanager
def watched() -> Iterator[Watched]:
    """Watches the building of a network inside the block."""
    _hook()
    found = Watched()
    before = sys.getprofile()
    _watching.append(found)
    sys.setprofile(found.note_call)
    try:
        with patch.object(nn.Module, "load_state_dict", found.load_state_dict(nn.Module.load_state_dict)):
            yield found
    finally:
        sys.setprofile(before)
        _watching.pop()
