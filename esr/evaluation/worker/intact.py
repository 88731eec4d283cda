"""The functions that measure in a worker, as they were before a network's code existed, and those replaced since."""

import builtins
import sys
from collections.abc import Iterator, Mapping
from operator import is_
from types import FunctionType, ModuleType
from typing import Any, TypeAlias

from esr.text import one_line

_OWN, _NETWORKS = "esr", "esr.models"
_COUNTER = "torch.utils.flop_counter"
"""Module of formulas, checked as a whole."""
_BORROWED = {
    "builtins": tuple(vars(builtins)),
    "gc": ("get_objects",),
    "msgspec.json": ("decode", "encode"),
    "numpy": ("divmod", "isfinite", "stack"),
    "numpy.random": ("seed",),
    "random": ("seed",),
    "threading.Thread": ("run", "start"),
    "time": ("monotonic", "perf_counter", "perf_counter_ns", "process_time"),
    "torch": ("equal", "from_numpy", "isfinite"),
    "torch.Tensor": ("__getitem__", "cpu", "float", "numel", "numpy", "untyped_storage"),
    "torch.nn.Module": ("buffers", "modules", "named_modules", "parameters"),
    "torch.utils._python_dispatch.TorchDispatchMode": ("__enter__", "__exit__"),
}
"""Module or class -> what measuring takes from it, and no honest network replaces."""
_MOST = 100
"""Names that are reported."""

_Identity: TypeAlias = tuple[object, ...]


class Intact:
    """Remembers every function of this package, a few that it uses, and an object whose methods serve.

    Args:
        served: The object.
    """

    def __init__(self, served: object = None) -> None:
        self._served = served
        self._before = dict(self._functions())

    def replaced(self) -> tuple[str, ...]:
        """Dotted names of those that are others now."""
        now = dict(self._functions())
        changed = (name for name, one in self._before.items() if not _same(one, now.get(name)))
        return tuple(one_line(name) for name in sorted(changed))[:_MOST]

    def _functions(self) -> Iterator[tuple[str, _Identity]]:
        kind, own = type(self._served), getattr(self._served, "__dict__", {})
        names = [name for name, one in vars(kind).items() if _is_code(one)]
        yield from ((f"{kind.__qualname__}.{name}", (own.get(name),)) for name in names)
        yield "sys.setprofile", (sys.getprofile(), kind)
        yield from _functions()


def _same(one: _Identity, other: _Identity | None) -> bool:
    return other is not None and len(one) == len(other) and all(map(is_, one, other))


def _functions() -> Iterator[tuple[str, _Identity]]:
    for place, module in list(sys.modules.items()):
        own = place.partition(".")[0] == _OWN and not place.startswith(_NETWORKS)
        if (own or place == _COUNTER) and isinstance(module, ModuleType):
            yield from _members(place, vars(module))
            yield place, tuple(name for name in vars(builtins) if name in vars(module))
    for place, names in _BORROWED.items():
        owner = _owner(place)
        yield from ((f"{place}.{name}", _identity(getattr(owner, name, None))) for name in names)


def _owner(place: str) -> object:
    """A module or a class that has been imported."""
    parts = place.split(".")
    module = next((end for end in range(len(parts), 0, -1) if ".".join(parts[:end]) in sys.modules), 0)
    owner: Any = sys.modules.get(".".join(parts[:module]))
    for part in parts[module:]:
        owner = getattr(owner, part, None)
    return owner


def _members(place: str, namespace: Mapping[str, object]) -> Iterator[tuple[str, _Identity]]:
    """A module's functions, classes with their methods, other modules and constants."""
    for name, value in list(namespace.items()):
        path = f"{place}.{name}"
        if isinstance(value, type) and value.__module__ == place:
            yield path, (value,)
            members = [(one, member) for one, member in vars(value).items() if _is_code(member)]
            yield from ((f"{path}.{one}", _identity(member)) for one, member in members)
        elif callable(value) or isinstance(value, ModuleType) or name.isupper():
            yield path, _identity(value)


def _is_code(member: object) -> bool:
    wrapped = isinstance(member, (property, staticmethod, classmethod)) or hasattr(member, "dispatcher")
    return wrapped or callable(member)


def _identity(value: object) -> _Identity:
    """What a function is, and what it runs: either can be exchanged alone."""
    inner = getattr(value, "__func__", getattr(value, "fget", value))
    registry = getattr(getattr(value, "dispatcher", None), "registry", {})
    code = (inner.__code__, inner.__defaults__) if isinstance(inner, FunctionType) else ()
    constants = value.values() if isinstance(value, dict) else ()
    return (value, *code, *registry.values(), *constants)
