"""Calls the `select_model` of a challenge's script for one network, on the chosen device."""

import argparse
import asyncio
import errno
import functools
import importlib.abc
import importlib.util
import inspect
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from importlib import machinery
from importlib.machinery import ModuleSpec
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any, NamedTuple
from unittest.mock import patch
from urllib.error import URLError

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from esr.config.repository import Branch, Layout, is_pointer, read_layout
from esr.config.schema import RepositoryConf
from esr.errors import EsrError, NetworkError
from esr.networks.build import frozen
from esr.networks.repository.stand_ins import stand_ins
from esr.text import described, escaped, listed, one_line

_PARTS = 4
"""Of what `select_model` returns: network, name, range of values, tile."""


class Selected(NamedTuple):
    """A network as the script built it."""

    network: nn.Module
    name: str
    data_range: float
    tile: int | None
    stand_ins: tuple[str, ...]
    """Packages that are not installed, imported without being used."""


def select(conf: RepositoryConf, device: torch.device, *, random: bool = False) -> Selected:
    """Builds a network of a repository by the repository's own code, which is unmodified.

    The working directory and the first entry of `sys.path` are the repository from now on, as its code expects.
    `torch.load` opens tensors only and loads them to the device; `.cuda()` means the device.

    Args:
        conf: Repository and id.
        device: Receives the network.
        random: No weights are loaded; their files may be absent.

    Raises:
        NetworkError: The network cannot be built, for a reason in one line: a package, a file or its own code.
    """
    layout = read_layout(Path(conf.root or ""))
    entry = layout.entry(conf.id)
    key = f"id={conf.id} of {layout.root.name}"
    os.chdir(layout.root)
    sys.path.insert(0, str(layout.root))
    sys.meta_path.insert(0, _RepositoryFirst(layout.root))
    weights = _without_weights() if random else nullcontext()
    with stand_ins(layout.root, layout.script) as finder, on_device(device), weights:
        try:
            returned = _call(layout, entry, device)
        except EsrError as error:
            raise NetworkError(f"{key}: {error}") from error
        except BaseException as error:
            raise NetworkError(f"{key}: {_explained(error, layout.root)}") from error
    try:
        selected = _checked(returned, entry, tuple(sorted(finder.used)))
    except (TypeError, ValueError) as error:
        raise NetworkError(f"{key}: select_model returned {error}, expected (network, name, range, tile)") from error
    if selected.name != entry.name and selected.name in [other.name for other in layout.entries]:
        raise NetworkError(f"{key}: its script built {escaped(selected.name)} instead, and takes the id from elsewhere")
    return selected


def _call(layout: Layout, entry: Branch, device: torch.device) -> object:
    argv = [str(layout.script), *(["--model_id", str(entry.key)] if "model_id" in layout.arguments else [])]
    with patch.object(sys, "argv", argv):  # a script may read it when it is imported
        module = _imported(layout)
        function = getattr(module, "select_model", None)
        if not callable(function):
            raise NetworkError(f"{layout.script.name} defines no select_model when it is imported")
        vars(module).setdefault("device", device)
        bound = _arguments(inspect.signature(function), layout, entry, device)
        with torch.inference_mode(False), torch.enable_grad():
            returned = function(*bound.args, **bound.kwargs)
            return asyncio.run(returned) if inspect.iscoroutine(returned) else returned


class Namespace(argparse.Namespace):
    """Options of the command line, which a script may read as a dictionary, too."""

    def __getitem__(self, name: str) -> object:
        return getattr(self, name)


def _arguments(asked: inspect.Signature, layout: Layout, entry: Branch, device: torch.device) -> inspect.BoundArguments:
    """What `select_model` is called with: the id, or the script's arguments with it, and the device."""
    bound = asked.bind_partial()
    attributes = Namespace(**{**layout.arguments, **dict.fromkeys(layout.id_names, entry.key)})
    waiting: list[object] = [device] if layout.takes_id else [attributes, device]
    for name, one in asked.parameters.items():
        if "device" in name.lower():
            bound.arguments[name] = device
            waiting = [other for other in waiting if other is not device]
        elif layout.takes_id and name in layout.id_names:
            bound.arguments[name] = entry.key
        elif one.kind is one.VAR_POSITIONAL:
            bound.arguments[name], waiting = tuple(waiting), []
        elif one.kind is not one.VAR_KEYWORD and one.default is one.empty:
            if not waiting:
                raise NetworkError(f"select_model asks for {escaped(name)}, too, which only its script knows")
            bound.arguments[name] = waiting.pop(0)
    return bound


def _imported(layout: Layout) -> ModuleType:
    script, name = layout.script, ".".join(layout.script.relative_to(layout.root).with_suffix("").parts)
    spec = importlib.util.spec_from_file_location(name, script, loader=_FromSource(name, str(script)))
    if spec is None or spec.loader is None:
        raise NetworkError(f"{script.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _checked(returned: object, entry: Branch, used: tuple[str, ...]) -> Selected:
    """A network with what else the script returned; what it leaves out is as its branch states it."""
    parts = tuple(returned) if isinstance(returned, (tuple, list)) else (returned,)
    network, name, data_range, tile = (*parts, *(None, entry.name, entry.data_range, None)[len(parts) :])[:_PARTS]
    if not isinstance(network, nn.Module):
        raise TypeError(f"a {type(network).__name__} as its network")
    try:
        limit, side = float(data_range), None if tile is None else int(tile)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise TypeError(f"a {type(data_range).__name__} and a {type(tile).__name__} as its range and tile") from error
    if not limit > 0:
        raise ValueError(f"the range {limit:g}")
    return Selected(frozen(network), str(name), limit, side, used)


def _explained(error: BaseException, root: Path) -> str:
    """The reason for which a network could not be built, with the remedy where there is one."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _absent(error.name, root)
    if "weights_only" in str(error):  # torch's advice would execute what the file holds
        what = escaped((re.findall(r"GLOBAL \S+|TorchScript archive", str(error)) or ["an object"])[0])
        return f"torch.load opens tensors only, and a weight file holds more ({what}): torch.save its state_dict"
    if isinstance(error, EOFError) and "reading a line" in str(error):
        return "its script asks for a line from the keyboard, which nobody types here"
    if isinstance(error, (SystemExit, OSError)) and (known := _of_system(error)):
        return known
    head, traceback, rest = str(error).partition("Traceback (most recent call last)")
    if traceback:  # of a program that the script ran: its last line is the reason
        last = f"{type(error).__name__}: {head} {rest.strip().splitlines()[-1]}"
        return one_line(last.replace(f"{root}/", ""))[:1500]
    return described(error).replace(f"{root}/", "")[:1500]


def _absent(module: str, root: Path) -> str:
    package = module.partition(".")[0]
    if package in ("models", "utils") or (root / package).exists() or (root / f"{package}.py").exists():
        stem = root.joinpath(*module.split("."))
        other = listed(one.name for one in stem.parent.glob(f"{stem.name}.*"))
        return f"the repository has no module {escaped(module)}" + f" for this Python ({other} is there)" * bool(other)
    if package in sys.stdlib_module_names:
        return f"this Python has no module {escaped(module)}"
    return f"needs the package {escaped(package)}: pip install {escaped(package)}"


def _of_system(error: SystemExit | OSError) -> str | None:
    if isinstance(error, SystemExit):
        return f"its script ends the program (exit code {escaped(str(error.code or 0))}) instead of returning a network"
    path, root = Path(os.path.abspath(str(error.filename))), Path.cwd()
    if path.is_relative_to(root) and not path.resolve().is_relative_to(root):
        return f"{escaped(str(error.filename))} leads out of the repository by a link: put the file itself there"
    if isinstance(error, URLError):
        return "downloads while it is built, and networks have no connection: put the file where its script looks"
    if isinstance(error, FileNotFoundError) and error.filename:
        if any(one.name == "_execute_child" for one in extract_tb(error.__traceback__)):
            return f"starts the program {escaped(str(error.filename))}, which is not installed"
        return f"{escaped(str(error.filename))} is missing: fetch it, or `git lfs pull` in the repository"
    is_denied = error.errno in (errno.EACCES, errno.EROFS, errno.EPERM) and error.filename
    opens = f"opens {escaped(str(error.filename))}, which it may not: it reads its repository and writes nothing"
    return opens if is_denied else None


class _RepositoryFirst(importlib.abc.MetaPathFinder):
    """Finds the repository's packages before all others of their name, without an `__init__.py`, too."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find_spec(self, fullname: str, path: Sequence[str] | None = None, _: object = None) -> ModuleSpec | None:
        """The spec of a package or module of the repository."""
        for folder in [self._root] if path is None else map(Path, path):
            if not folder.is_relative_to(self._root):
                continue
            spec = machinery.FileFinder(str(folder), *_LOADERS).find_spec(fullname)
            if spec is not None and (spec.loader is not None or spec.submodule_search_locations):
                return spec
        return None


class _FromSource(machinery.SourceFileLoader):
    """Leaves the repository as it is, and does not execute compiled files that lie in it."""

    def path_stats(self, path: str) -> Mapping[str, Any]:
        """Refuses, so that no compiled file is looked for or written."""
        raise OSError(path)


_LOADERS = ((_FromSource, machinery.SOURCE_SUFFIXES), (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES))


class _OnDevice(TorchFunctionMode):
    """Puts on the chosen device what a constructor asks to be on a GPU."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device

    def __torch_function__(self, func: Any, _: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        moved = {name: self._device if _is_cuda(value) else value for name, value in (kwargs or {}).items()}
        return func(*(self._device if _is_cuda(value) else value for value in args), **moved)


class _Immediate(torch.cpu.Stream, torch.cpu.Event):
    """A stream or an event of `torch.cuda` on a CPU, where a call returns when its work is done."""

    def __init__(self, *_: object, **__: object) -> None:
        self._at = 0.0

    def record(self, _: object = None) -> None:
        """Notes the time."""
        self._at = time.perf_counter()

    def elapsed_time(self, end: "_Immediate") -> float:
        """Milliseconds from this event to another."""
        return (end._at - self._at) * 1000


class _AnyState(dict[str, Any]):
    """A checkpoint with every key and no tensor."""

    def __missing__(self, _: str) -> "_AnyState":
        return self


@contextmanager
def _without_weights() -> Iterator[None]:
    """Lets `torch.load` read no file and `load_state_dict` change nothing."""
    nothing = nn.modules.module._IncompatibleKeys([], [])
    with (
        patch.object(torch, "load", lambda *_, **__: _AnyState()),
        patch.object(safetensors.torch, "load_file", lambda *_, **__: _AnyState()),
        patch.object(nn.Module, "load_state_dict", lambda *_, **__: nothing),
    ):
        yield


@contextmanager
def on_device(device: torch.device) -> Iterator[None]:
    """Makes `.cuda()` mean the chosen device, and `torch.load` load to it, tensors only.

    `.cuda()`, and on a CPU the streams and events of `torch.cuda`, stay so after the block: passes may use them.
    """

    def module_to(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        with_device = [device if _is_cuda(value) or type(value) is int else value for value in args]
        if _is_cuda(kwargs.get("device")) or type(kwargs.get("device")) is int:  # a GPU by its number
            kwargs["device"] = device
        return to(self, *with_device, **kwargs)

    def load(file: Any, map_location: Any = None, *args: Any, **kwargs: Any) -> Any:
        _refuse_pointer(file)
        where = map_location if str(map_location) in ("cpu", "meta") else device  # a table or a function names GPUs
        return torch_load(file, where, *args, **kwargs | {"weights_only": True})

    def open_safely(file: Any, framework: str, device: Any = "cpu", *, chosen: str = str(device), **kwargs: Any) -> Any:
        _refuse_pointer(file)
        with open(file, "rb"):  # seen by whoever watches opened files, unlike what comes now
            return safe_open(file, framework, chosen if _is_cuda(device) or type(device) is int else device, **kwargs)

    to: Any = nn.Module.to
    torch_load, safe_open = torch.load, safetensors.safe_open
    nn.Module.cuda = lambda self, _=None: self.to(device)  # type: ignore[assignment]
    Tensor.cuda = lambda self, *_, **__: self.to(device)  # type: ignore[method-assign]
    with ExitStack() as stack:
        stack.enter_context(patch.object(torch, "load", functools.wraps(torch_load)(load)))
        for module in (safetensors, safetensors.torch):
            stack.enter_context(patch.object(module, "safe_open", open_safely))
        if device.type == "cpu":
            stack.enter_context(patch.object(nn.Module, "to", module_to))
            # Each name has an object of its own: torch's compiler refuses others.
            for name, value in {"synchronize": None, "set_device": None, "current_device": str(device)}.items():
                setattr(torch.cuda, name, lambda *_, value=value, **__: value)
            for name in ("Event", "Stream", "current_stream", "default_stream"):
                setattr(torch.cuda, name, type(name, (_Immediate,), {}))
            stack.enter_context(_OnDevice(device))
        yield


def _is_cuda(value: object) -> bool:
    return isinstance(value, (torch.device, str)) and str(value).startswith("cuda")


def _refuse_pointer(file: object) -> None:
    if isinstance(file, (str, os.PathLike)) and is_pointer(Path(file)):
        raise NetworkError(f"{escaped(str(file))} is a Git LFS pointer, not the weights: run `git lfs pull`")
