"""One strict load by a network's own `load_state_dict`, and a check that nothing was left over."""

import copy
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from esr.networks.weight_files import Versions
from esr.text import escaped, listed, one_line

_COUNTER = "num_batches_tracked"
"""A statistic of batch normalisation that inference never reads, so that old files may lack it."""


class Misfit(Exception):  # noqa: N818 - caught in this room, where it becomes a line for the user
    """A state dict that the network does not take whole."""


def own_entries(network: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network's state dict, by name."""
    return {name: value for name, value in network.state_dict().items() if isinstance(value, Tensor)}


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], versions: Versions | None = None) -> None:
    """Lets the network load a state dict, with whatever it overrides or hooks into loading.

    An entry that the file lacks because it is another name of a tensor that the file has, or a counter that inference
    never reads, is filled in. Every entry of the file has to be used, and every parameter of the network to be set.

    Args:
        network: On any device; unchanged after an error, except for what its own code has rebuilt.
        state: Tensors under the names that the network takes.
        versions: Of the modules' layouts, as torch saves them.

    Raises:
        Misfit: The network refuses it, leaves an entry over, or a parameter unset; the text is one line.
    """
    before = own_entries(network)
    kept = {name: value.detach().clone() for name, value in before.items() if not is_lazy(value)}
    given = _converted(state, before)
    entries: OrderedDict[str, Any] = OrderedDict(_filled_in(network, given, before))
    if versions is not None:
        entries._metadata = OrderedDict((path, dict(one)) for path, one in versions.items())  # type: ignore[attr-defined]
    try:
        _load_and_check(network, entries, given, before)
    except Misfit:
        with torch.no_grad():
            for name, value in kept.items():
                before[name].copy_(value)
        raise


def overrides_loading(network: nn.Module) -> bool:
    """True if a module's own code takes part in loading a state dict, and may fuse or rename entries there."""
    loaders = (code for module in network.modules() for code in _loaders(module))
    return any(str(getattr(code, "__module__", "")).partition(".")[0] != "torch" for code in loaders)


def _loaders(module: nn.Module) -> Iterator[object]:
    """The classes and hooks that take part when a module's entries are loaded."""
    for name in ("load_state_dict", "_load_from_state_dict"):
        yield next(base for base in type(module).__mro__ if name in vars(base))
    for hook in (*module._load_state_dict_pre_hooks.values(), *module._load_state_dict_post_hooks.values()):
        yield getattr(hook, "hook", hook)


def fits(network: nn.Module, state: Mapping[str, Tensor], versions: Versions | None = None) -> str | None:
    """The reason why a copy of the network does not take a state dict; `None` if it does."""
    try:
        with torch.no_grad():
            network = copy.deepcopy(network)
    except Exception:  # noqa: S110 - a stranger's module need not be copyable; it is put back after a failure
        pass
    try:
        load_strictly(network, state, versions)
    except Misfit as error:
        return str(error)
    return None


def _load_and_check(
    network: nn.Module, entries: Mapping[str, Any], given: Mapping[str, Tensor], before: Mapping[str, Tensor]
) -> None:
    watch = _Watch()
    try:
        with torch.no_grad(), watch:
            result = network.load_state_dict(entries)
    except (Exception, SystemExit) as error:  # a stranger's code may raise anything
        raise Misfit(escaped(one_line(str(error)).rstrip(".:"), longest=300) or type(error).__name__) from error
    held = _storages(own_entries(network).values())
    left = [name for name, value in given.items() if value.numel() and not _storage(value) & (watch.read | held)]
    left += [str(name) for name in getattr(result, "unexpected_keys", None) or ()]
    if left:
        raise Misfit(f"its own load_state_dict leaves {len(left)} of {len(given)} entries over ({listed(left)})")
    old = _storages(before.values())
    parameters = dict(network.named_parameters(remove_duplicate=False))
    unset = [name for name, value in parameters.items() if value.numel() and _storage(value) & (old - watch.written)]
    unset += [str(name) for name in getattr(result, "missing_keys", None) or () if name not in unset]
    if unset:
        raise Misfit(f"its own load_state_dict leaves {len(unset)} parameters as they were ({listed(unset)})")


class _Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the storages that operators read, and those that they make or write to."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.read: set[int] = set()
        self.written: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Says that nothing here needs hiding from torch's compiler, which takes seconds to import."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        inputs = _storages(tree_leaves((args, kwargs)))
        self.read |= inputs
        results = func(*args, **kwargs)
        self.written |= _storages(tree_leaves(results)) - inputs  # a view is not written
        for argument, value in _arguments(func, args, kwargs):
            if argument.alias_info is not None and argument.alias_info.is_write:
                self.written |= _storages(tree_leaves(value))
        return results


def _arguments(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    known = func._schema.arguments
    yield from zip(known, args, strict=False)
    yield from ((argument, kwargs[argument.name]) for argument in known if argument.name in kwargs)


def _storages(values: Iterable[object]) -> set[int]:
    return set().union(*(_storage(value) for value in values if isinstance(value, Tensor)))


def _storage(value: Tensor) -> set[int]:
    """Identity of a tensor's memory; empty where it has none."""
    return set() if is_lazy(value) or value.layout != torch.strided else {value.untyped_storage()._cdata}


def _converted(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies with memory of their own, floating-point values in the network's precision.

    Raises:
        Misfit: A value is of another kind of number than the network's.
    """
    copies = {}
    for name, value in state.items():
        target = own.get(name)
        if target is not None and value.shape == target.shape and number_kind(value) != number_kind(target):
            raise Misfit(f"{name} is {value.dtype} for {target.dtype}")
        fallback = torch.float32 if value.is_floating_point() else value.dtype
        same_kind = target is not None and number_kind(value) == number_kind(target)
        dtype = target.dtype if target is not None and same_kind else fallback
        copies[name] = value.detach().to(dtype, copy=True)
    return copies


def number_kind(value: Tensor) -> str:
    """The kind of a tensor's values, which a conversion must not change."""
    if value.is_complex():
        return "complex"
    return "real" if value.is_floating_point() else "integer"


def _filled_in(network: nn.Module, given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Any]:
    """The entries, with those that the file lacks although nothing is missing.

    Raises:
        Misfit: The file has different values for names of one tensor.
    """
    entries: dict[str, Any] = dict(given)
    for names in _ties(own):
        present = [name for name in names if name in given]
        for name in present[1:]:
            if not torch.equal(given[present[0]], given[name]):
                raise Misfit(f"{present[0]} and {name} are one tensor in the network, and differ in the file")
        entries |= {name: given[present[0]] for name in names if present and name not in given}
    counters = (name for name in own if name.rpartition(".")[2] == _COUNTER and name not in entries)
    entries |= {name: torch.zeros_like(own[name]) for name in counters}
    extra = {name: value for name, value in network.state_dict().items() if not isinstance(value, Tensor)}
    return extra | entries


def _ties(own: Mapping[str, Tensor]) -> list[list[str]]:
    """Groups of names of one tensor."""
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, value in own.items():
        if _storage(value) and value.numel():
            groups.setdefault((*_storage(value), value.storage_offset(), tuple(value.shape)), []).append(name)
    return [names for names in groups.values() if names[1:]]
