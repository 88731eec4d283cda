"""The class or function that builds a network, looked up by its dotted path."""

import builtins
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dis import opname
from pathlib import Path
from typing import Any

from torch import nn

from esr.errors import NetworkError
from esr.text import described, did_you_mean, one_line

_PACKAGES = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "mamba_ssm": "mamba-ssm",
    "pl_bolts": "lightning-bolts",
    "pytorch_lightning": "pytorch-lightning",
    "pywt": "PyWavelets",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Imported name -> the package that has it, where the names differ."""
PLACES = "the YAML's folder, the working directory and installed packages"


def factory(target: str) -> Callable[..., Any]:
    """The class or function at a dotted path; nothing of it is called yet.

    Raises:
        NetworkError: There is none, it cannot be imported, or it cannot build a network.
    """
    key = f"_target_={one_line(target)}"
    names = target.split(".")
    module, rest = _module(names, key)
    found: Any = module
    for position, name in enumerate(rest):
        inside = found
        found = getattr(inside, name, None)
        if found is None:
            path = ".".join(names[: len(names) - len(rest) + position])
            raise NetworkError(f"{key}: {path} has no {name}; {_hint(inside, name)}{_origin(module)}")
    if reason := _unfit(found):
        raise NetworkError(f"{key}: {reason}, expected a torch.nn.Module class or a function that returns one")
    made: Callable[..., Any] = found
    return made


@contextmanager
def strangers_code(fault: str) -> Iterator[None]:
    """Runs a stranger's code in the block: whatever it raises becomes a `NetworkError`, whose line begins with `fault`.

    Raises:
        NetworkError: It raised anything.
    """
    try:
        yield
    except BaseException as error:
        if is_ctrl_c(error):
            raise
        ending = "" if isinstance(error, Exception) else "; a network's code must not end the program"
        raise NetworkError(f"{fault} ({described(error)}){ending}") from error


def is_ctrl_c(error: BaseException) -> bool:
    """True for an interrupt by a signal; False for one that a statement raises, as in a stranger's code."""
    last = error.__traceback__
    while last and last.tb_next:
        last = last.tb_next
    stated = last is not None and opname[last.tb_frame.f_code.co_code[last.tb_lasti]] == "RAISE_VARARGS"
    return isinstance(error, KeyboardInterrupt) and not (stated and type(error) is KeyboardInterrupt)


def _module(names: Sequence[str], key: str) -> tuple[Any, Sequence[str]]:
    """The module in which the path ends, and the rest of the path."""
    for length in range(len(names) - 1, 0, -1):
        path = ".".join(names[:length])
        try:
            return importlib.import_module(path), names[length:]
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if not (path == missing or path.startswith(f"{missing}.")):
                raise NetworkError(f"{key}: {_needed(path, missing)}") from error
        except BaseException:  # a stranger's module may do anything while it is imported
            with strangers_code(f"{key}: {path} cannot be imported"):
                raise
    raise NetworkError(f"{key}: cannot be imported, there is no module {names[0]}; looked up in {PLACES}")


def _needed(path: str, missing: str) -> str:
    """The line for an import that fails inside a submission's module."""
    shown = one_line(missing)
    if "." in missing and missing.partition(".")[0] in sys.modules:
        return f"{path} needs the module {shown}, which is not there; put its file beside the others"
    package = missing.partition(".")[0]
    command = f"pip install {one_line(_PACKAGES.get(package, package))}"
    return f"{path} needs the package {one_line(package)} ({command}), or a file of that name beside the YAML"


def _hint(inside: Any, name: str) -> str:
    classes = [known for known, value in vars(inside).items() if inspect.isclass(value) and not known.startswith("_")]
    return did_you_mean(name, classes) if classes else "it holds no class"


def _origin(module: Any) -> str:
    """A note where a module of Python's own hides the submission's file."""
    if module.__name__.partition(".")[0] in sys.stdlib_module_names:
        return f"; {module.__name__} is a module of Python's own, give your file another name"
    file = getattr(module, "__file__", None)
    return f" ({one_line(str(Path(file)))})" if file else ""


def _unfit(found: Any) -> str | None:
    """The reason why an object cannot build a network; `None` if it may."""
    if inspect.isclass(found):
        return None if issubclass(found, nn.Module) else f"is the class {found.__name__}"
    if isinstance(found, nn.Module):
        return f"is an instance of {type(found).__name__}"
    if not callable(found):
        return f"is a {type(found).__name__}"
    inner = inspect.unwrap(getattr(found, "func", found))  # of functools.partial and decorators
    home = str(getattr(inner, "__module__", None) or type(inner).__module__).partition(".")[0]
    if inspect.isbuiltin(inner) or home in sys.stdlib_module_names or inner in vars(builtins).values():
        return "is a function of Python's own"
    if not (inspect.isroutine(inner) or inspect.isclass(inner)):
        return f"is an instance of {type(found).__name__}"
    return None
