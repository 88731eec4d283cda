"""The source files of a network, found without importing any: those that importing its class brings in.

Imports are read from the syntax tree, wherever in a file they stand. A file that imports by name at run time, or runs
another file, may bring in anything: then every source file below its package, or its folder, belongs to the network. So
do files in its folders that a text in it names, as `widths.json`.
"""

import ast
import os
import sys
import sysconfig
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import NamedTuple

from esr.config.repository_values import dotted
from esr.config.schema import ModelConf
from esr.zoo import repository
from esr.zoo.download import sha256_of_all

OWN = "esr"
_SHIPPED = f"{OWN}.models."
_MODULE_SUFFIXES = (".py", *EXTENSION_SUFFIXES)
_DYNAMIC = {
    *("__import__", "import_module", "exec", "eval", "execfile", "compile", "run_path", "run_module"),
    *("spec_from_file_location", "SourceFileLoader", "load_source", "walk_packages", "iter_modules", "resolve_name"),
    *("find_spec", "addsitedir", "extend_path", "ExtensionFileLoader", "load", "load_inline", "load_library", "CDLL"),
}
"""Names whose call may bring in code that no import names; `load` is `torch.utils.cpp_extension.load`, for one."""
_SOURCES = (".py", ".so", ".cpp", ".cc", ".cu", ".cuh", ".h", ".hpp", ".c")
"""Files that belong to a network where anything may be brought in."""
_MOST_FILES = 2000
"""Files of one network; a folder with more is no submission, and reading it would take long."""
_MOST_PARSED = 4 << 20
"""Bytes; a larger file is taken as it is, without its imports."""
_FOREIGN = {"site-packages", "dist-packages", "__pycache__", "node_modules"}


class _Module(NamedTuple):
    """A module's file and where it was found."""

    name: str
    file: Path
    root: Path


def roots(model: ModelConf) -> list[Path]:
    """Folders in which `esr.networks.build` looks for a class, in its order."""
    if model._target_.startswith(f"{OWN}."):
        return [Path(__file__).resolve().parents[2]]
    beside = [Path(model.source).parent] if model.source else []
    return [*beside, Path.cwd(), *map(Path, sys.path)]


def target_file(model: ModelConf) -> Path | None:
    """File of the module, or the innermost package, that the class's path names; `None`: not found."""
    found = _target(model)
    return found.file if found else None


def code_digest(model: ModelConf) -> str | None:
    """sha256 over the names and the contents of a network's source files; `None` where its class is not found."""
    if model.repository.root:
        return repository.source_digest(Path(model.repository.root))
    found = _target(model)
    if found is None:
        return None
    return sha256_of_all(dict(sorted(_closure(found, model).items())))


def _target(model: ModelConf) -> _Module | None:
    names = model._target_.rpartition(".")[0].split(".")
    for root in roots(model):
        for length in range(len(names), 0, -1):
            if found := _located(root, ".".join(names[:length])):
                return found
    return None


def _located(root: Path, name: str) -> _Module | None:
    """A module below a folder: a package before a file, as Python looks for them."""
    if not name or not all(part.isidentifier() for part in name.split(".")):
        return None
    stem = root.joinpath(*name.split("."))
    for file in (stem / "__init__.py", *(stem.with_name(f"{stem.name}{suffix}") for suffix in _MODULE_SUFFIXES)):
        if os.path.isfile(file):  # not a pipe, which would be waited for; a name may be too long for any file
            return _Module(name, file, root)
    return None


def _closure(start: _Module, model: ModelConf) -> dict[str, Path]:
    """Every file that importing the start brings in, directly or not, by its path below the folder it was found in."""
    searched = _searched(start, model)
    found: dict[str, Path] = {}
    waiting = [start]
    while waiting and len(found) < _MOST_FILES:
        module = waiting.pop()
        key = module.file.relative_to(module.root).as_posix()
        if key in found or not _belongs(module.name, start):
            continue
        found[key] = module.file
        waiting += _parents(module)
        if module.file.suffix != ".py":
            continue
        status = module.file.stat()
        names, dynamic = _imports(module.file, module.name, (status.st_size, status.st_mtime_ns))
        for name in names:
            found |= {f"{key}: {name}": file for file in _named(name, module)}
            if _belongs(name, start):
                waiting += next(([one] for root in searched if (one := _located(root, name))), [])
        if dynamic and not _is_shipped(start):
            found |= {file.relative_to(module.root).as_posix(): file for file in _around(module)}
    return found


def _named(name: str, module: _Module) -> Iterator[Path]:
    """Files that a text in a module may name; none leads out of the folder, as into /proc, where files have no end."""
    for folder in (module.root, module.file.parent):
        file = folder / name
        if os.path.isfile(file) and file.resolve().is_relative_to(folder.resolve()):
            yield file


def _is_shipped(start: _Module) -> bool:
    return start.name.startswith(f"{OWN}.")


def _searched(start: _Module, model: ModelConf) -> list[Path]:
    if _is_shipped(start) or not _is_own(start.root):
        return [start.root]
    return [start.root, *(root for root in dict.fromkeys(roots(model)) if root != start.root and _is_own(root))]


def _belongs(name: str, start: _Module) -> bool:
    """False for what is no part of the submission: `esr` itself and, of installed packages, all but the network's."""
    if _is_shipped(start):
        return name.startswith(_SHIPPED)
    if not _is_own(start.root):
        return name.partition(".")[0] == start.name.partition(".")[0]
    return name.partition(".")[0] != OWN


def _parents(module: _Module) -> Iterator[_Module]:
    """Packages around a module, whose `__init__` Python runs first."""
    names = module.name.split(".")
    for length in range(1, len(names)):
        if (found := _located(module.root, ".".join(names[:length]))) and found.file.name == "__init__.py":
            yield found


def _around(module: _Module) -> Iterator[Path]:
    """Sources below a module's top-level package, or below its folder."""
    package = module.root / module.name.partition(".")[0]
    top = package if package.is_dir() else module.root
    count = 0
    for folder, folders, names in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name.lower() not in _FOREIGN)
        for name in sorted(names):
            file = Path(folder, name)
            if name.endswith(_SOURCES) and file.is_file():
                yield file
                count += 1
        if count > _MOST_FILES:
            return


@lru_cache(maxsize=_MOST_FILES)
def _imports(file: Path, module: str, stamp: tuple[int, int]) -> tuple[frozenset[str], bool]:
    """Names of modules that a file may import and of files that it may read, and True if it may bring in others.

    Args:
        file: The source.
        module: Its own name, which relative imports start from.
        stamp: Its size and the time of its last change; as long as they stay, a multirun's networks need not read it.
    """
    if stamp[0] > _MOST_PARSED:
        return frozenset(), True
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # importing it will fail with its own words
        return frozenset(), True
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    names: set[str] = set()
    dynamic = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = _absolute(node, package)
            names.add(start)
            names.update(f"{start}.{alias.name}".strip(".") for alias in node.names)
            dynamic |= node.module is None and any(alias.name == "*" for alias in node.names)  # what `__all__` lists
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            names.add(node.value)
        elif isinstance(node, ast.Name | ast.Attribute):
            called = node.id if isinstance(node, ast.Name) else node.attr
            dynamic |= called in _DYNAMIC and not _of_torch(node)
            dynamic |= dotted(node) == "sys.path"
    return frozenset(filter(None, names)), dynamic


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """The module that a `from … import` starts at."""
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _of_torch(node: ast.Name | ast.Attribute) -> bool:
    """True for what reads data or compiles a graph or a pattern: `torch.load`, `torch.compile`, `re.compile`."""
    if not isinstance(node, ast.Attribute) or node.attr not in ("load", "compile", "eval"):
        return False
    before = node.value
    return not (isinstance(before, ast.Name | ast.Attribute) and "cpp_extension" in ast.unparse(before))


@lru_cache(maxsize=64)
def _is_own(root: Path) -> bool:
    """False for the folders of Python and of installed packages."""
    paths = sysconfig.get_paths()
    installed = {Path(paths[key]).resolve() for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    where = root.resolve()
    inside = any(where == one or one in where.parents for one in installed)
    return where.is_dir() and not inside and not any(part.lower() in _FOREIGN for part in where.parts)
