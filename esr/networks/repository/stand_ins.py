"""Stand-ins for modules that a challenge's script imports although no network uses them.

They make an import succeed, and fail as soon as anything of them is called, instantiated or iterated over. Any other
missing package remains an ImportError, so that code which falls back on something else still does.
"""

import ast
import importlib
import importlib.abc
import importlib.util
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

import torch

from esr.config.repository import parsed
from esr.config.repository_sources import TOOLS
from esr.errors import ConfigError, NetworkError

_MOVED = {"torchvision.transforms.functional_tensor": "torchvision.transforms._functional_tensor"}
"""Modules under the name that older packages import -> their present name."""


class Absent:
    """A name of a module that is not installed; its attributes are absent, too."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> "Absent":
        """An absent attribute; special names are not pretended, since libraries probe for them."""
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self._name}.{name}")

    def __call__(self, *_: object, **__: object) -> Any:
        """Fails: a network uses what is not there. Iteration and a test for truth do the same."""
        raise missing(self._name)

    __iter__ = __bool__ = __call__

    def __mro_entries__(self, _: tuple[object, ...]) -> tuple[type, ...]:
        """A base class that cannot be instantiated."""
        return (type("Absent", (), {"__new__": self.__call__}),)


class _AbsentModule(ModuleType):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = []
        self.__all__: list[str] = []

    def __getattr__(self, name: str) -> Absent:
        return Absent(self.__name__).__getattr__(name)


def missing(name: str) -> NetworkError:
    """The error for a package that is used and not installed."""
    package = name.partition(".")[0]
    if package in sys.stdlib_module_names or package in ("audioop", "imp"):
        return NetworkError(f"uses {name}, which Python {sys.version_info[0]}.{sys.version_info[1]} no longer has")
    return NetworkError(f"needs the package {package} ({name} is used): pip install {package}")


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what nothing else found: the tools above, and whatever the script itself and its utilities import.

    Args:
        root: The repository.
        script: Its script.
    """

    def __init__(self, root: Path, script: Path) -> None:
        self._root, self._script = root.resolve(), script.resolve()  # as the files of frames are compared
        self.used: set[str] = set()
        """Packages that stand-ins replaced."""

    def find_spec(self, fullname: str, _: object = None, __: object = None) -> ModuleSpec | None:
        """A stand-in's spec; `None` for a package whose absence must show."""
        package, frame = fullname.partition(".")[0], _importing()
        if fullname in _MOVED:
            return importlib.util.spec_from_loader(fullname, self)
        if package not in self.used:
            unused = package in TOOLS or self._of_script(package, frame)
            # Not for a package that is there, and lacks this module.
            if not unused or _is_attempt(frame) or package in sys.modules:
                return None
        self.used.add(package)
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The stand-in, or the module under its present name."""
        if spec.name in _MOVED:
            return importlib.import_module(_MOVED[spec.name])
        return _AbsentModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: a stand-in has no code."""

    def _of_script(self, package: str, frame: FrameType) -> bool:
        """True if the import stands in the script or in its utilities, and names no part of the repository."""
        own = (self._root / package).is_dir() or (self._root / f"{package}.py").is_file()
        if own or frame.f_code.co_name != "<module>":  # a function, whose caller may catch a failure
            return False
        importer = Path(frame.f_code.co_filename).resolve()
        inside = importer.relative_to(self._root).parts if importer.is_relative_to(self._root) else ()
        return importer == self._script or (len(inside) > 1 and inside[0] != "models")


def _importing() -> FrameType:
    """The code whose import statement is being carried out."""
    frame = sys._getframe(1)
    while frame.f_back and (frame.f_globals is globals() or frame.f_code.co_filename.startswith("<frozen")):
        frame = frame.f_back
    return frame


def _is_attempt(frame: FrameType) -> bool:
    """True in a `try`, whose handler does without the package."""
    try:
        tree = parsed(Path(frame.f_code.co_filename))
    except ConfigError:  # no file, as for code that is made up
        return False
    attempts = (one for one in ast.walk(tree) if isinstance(one, ast.Try) and one.handlers)
    return any(one.lineno < frame.f_lineno < one.handlers[0].lineno for one in attempts)


@contextmanager
def stand_ins(root: Path, script: Path) -> Iterator[StandIns]:
    """Stand-ins during the block; those that were imported stay for functions that import later."""
    finder = StandIns(root, script)
    prepare_torchvision()
    sys.meta_path.append(finder)
    try:
        yield finder
    finally:
        sys.meta_path.remove(finder)


def prepare_torchvision() -> None:
    """Declares torchvision's operators, without which its Python part does not load beside another build of torch."""
    spec = importlib.util.find_spec("torchvision")
    if "torchvision" in sys.modules or spec is None or spec.origin is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if _loads("torchvision"):
            return
        source = Path(spec.origin).with_name("_meta_registrations.py")
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for name in dict.fromkeys(re.findall(r'(?:register_meta\(|"torchvision::)"?(\w+)"', source.read_text("utf-8"))):
            with suppress(RuntimeError):  # it is there
                library.define(f"{name}(Tensor anything) -> Tensor")  # type: ignore[no-untyped-call]
        _KEPT.append(library)
        _loads("torchvision")


def _loads(package: str) -> bool:
    """Imports a package; one that fails leaves nothing behind."""
    try:
        importlib.import_module(package)
    except (ImportError, OSError, RuntimeError):
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]
        return False
    return True


_KEPT: list[Any] = []
"""Libraries of operators, which are withdrawn when nothing refers to them."""
