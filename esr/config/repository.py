"""A challenge's repository as it stands, read without running any of it.

Such a repository has a script, `test_demo.py`, whose `select_model(args, device)` is a chain of `if model_id == N`;
each branch names a network, its range of values and its weights. Everything here comes from the script's syntax tree.
"""

import ast
import fnmatch
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import msgspec

from esr.config.repository_branches import Function, IdKey, arguments, choices, imports_by_name, known_id, number_of
from esr.config.repository_values import assign, constant, texts
from esr.errors import ConfigError
from esr.text import listed, one_line, shown_path

SCRIPT = "test_demo.py"
FUNCTION = "select_model"
BASELINES = (-1, 0)
"""Ids of a repository's own baseline: 2022 has two, of which the first is the challenge's."""
POINTER = b"version https://git-lfs"
"""First bytes of a file that Git LFS has not fetched."""
_WEIGHTS = (".pth", ".pt", ".pkl", ".pth.tar", ".ckpt", ".safetensors", ".npz", ".bin", ".onnx")
_MOST_BYTES = 4 << 20
"""Of a source file."""
_MOST_FILES = 100_000
"""Files of a repository among which one is looked for by a part of its name."""
_LONGEST_PATH = 255
_HUGE = 1e9
"""No range of values; infinity, for one."""
_DEFAULT = "model_id"
_RESULT = 3
"""Least number of parts in what `select_model` returns, of which the second and third are name and range."""


class Branch(msgspec.Struct, frozen=True):
    """A network of a repository."""

    id: int
    key: IdKey
    """Its id as the script compares it, which may be a text."""
    name: str
    """As the branch names it, or `team07`; not trusted."""
    data_range: float
    """As the branch states it, else 1.0; the worker takes what the script returns."""
    weights: tuple[str, ...]
    """Paths of weight files named in the branch, relative to the repository."""
    modules: tuple[str, ...]
    """Modules that the branch imports by a name which it puts together."""
    body: ast.Module
    """Its statements, and those of the script's functions that it calls."""


class Layout(msgspec.Struct, frozen=True):
    """A repository's script and networks."""

    root: Path
    """Folder that the script's imports and paths start from."""
    script: Path
    takes_id: bool
    """`select_model` takes the id itself instead of `args.model_id`."""
    id_names: tuple[str, ...]
    """Names under which the script knows the id: a parameter of `select_model`, or attributes of `args`."""
    arguments: Mapping[str, object]
    """Options of the script's command line and their defaults."""
    entries: tuple[Branch, ...]
    """By id."""

    def entry(self, number: int | None) -> Branch:
        """The network of an id; of `None`, the baseline.

        Raises:
            ConfigError: There is none.
        """
        known = {entry.id: entry for entry in self.entries}
        if number is not None and number not in known:
            raise ConfigError(f"id={number}: no such network; {self.root.name} has {', '.join(map(str, known))}")
        return self.baseline if number is None else known[number]

    @property
    def baseline(self) -> Branch:
        """The repository's own baseline: id -1 or 0, else its first network."""
        known = {entry.id: entry for entry in self.entries}
        return next((known[number] for number in BASELINES if number in known), self.entries[0])

    def missing(self, entry: Branch) -> list[str]:
        """A network's weight files that are not there, or have not been fetched by Git LFS."""
        return [name for name in entry.weights if not os.path.isfile(self.root / name) or is_pointer(self.root / name)]


def read_layout(root: Path) -> Layout:
    """The script and the networks of a repository.

    Raises:
        ConfigError: The folder has no script with a `select_model`, or its networks cannot be told apart.
    """
    folder = Path(os.path.expanduser(root)).absolute()
    if not os.path.isdir(folder):
        raise ConfigError(f"repo={shown_path(root)}: {_no_folder(folder)}")
    script = _script(folder)
    try:
        return _read(folder, script, script.stat().st_mtime_ns)
    except RecursionError as error:
        raise ConfigError(f"{shown_path(script)}: nested too deeply to be read") from error


def is_pointer(file: Path) -> bool:
    """True for a Git LFS pointer in place of the file itself."""
    try:
        with file.open("rb") as opened:
            return opened.read(len(POINTER)) == POINTER
    except (OSError, ValueError):
        return False


def _no_folder(path: Path) -> str:
    if os.path.isfile(path):
        return "a file, not a folder; unpack it and give the folder with the repository's files"
    if ":/" in str(path) or "git@" in str(path):
        return "no folder; git clone it and give the checkout"
    return "no such folder; give the checkout of a challenge's repository"


@lru_cache(maxsize=16)
def _read(folder: Path, script: Path, _: int) -> Layout:
    tree = parsed(script)
    function = _function(tree)
    if function is None:
        raise ConfigError(f"{shown_path(script)}: no function {FUNCTION}")
    root = _root(folder, script, tree)
    names, found = choices(tree, function, root, script)
    options = arguments(tree)
    entries: dict[int, Branch] = {}
    for choice in found:
        for key in choice.keys or _rest(options, names, alone=len(found) == 1):
            if (number := number_of(key)) not in entries:
                entries[number] = _entry(key, names, choice.body, function, root)
    if not entries:
        what = f"{FUNCTION} is no chain of `if model_id == N`, nor like one, so its networks cannot be told"
        raise ConfigError(f"{shown_path(script)}: {what}; write a YAML for each, see docs/own-network.md")
    return Layout(
        root=root,
        script=script,
        takes_id=any(isinstance(one, ast.arg) and one.arg in names for one in ast.walk(function.args)),
        id_names=tuple(dict.fromkeys([*names, _DEFAULT])),
        arguments=options,
        entries=tuple(entries[number] for number in sorted(entries)),
    )


def _rest(options: Mapping[str, object], names: Sequence[str], *, alone: bool) -> list[IdKey]:
    """The id that a last `else`, or a function without a choice, is taken for: the command line's default."""
    default = next((options[name] for name in (*names, _DEFAULT) if name in options), None)
    return [default] if isinstance(default, int) else [0] * alone


def _script(folder: Path) -> Path:
    """The file that defines `select_model`: `test_demo.py`, one that it imports from, or the only one near the top."""
    main = folder / SCRIPT
    if main.is_file() and (found := _defining(folder, main)):
        return found
    others = sorted({*folder.glob("*.py"), *folder.glob("*/*.py"), *folder.glob(f"*/*/{SCRIPT}")})
    several: list[Path] = []
    broken: list[ConfigError] = []
    for file in filter(os.path.isfile, others):
        try:
            several += [file] if FUNCTION.encode() in _bytes(file) and _function(parsed(file)) else []
        except ConfigError as error:
            broken.append(error)
    chosen = [file for file in several if file.name == SCRIPT] or several
    if len(chosen) == 1:
        return chosen[0]
    if chosen:
        names = listed(str(file.relative_to(folder)) for file in chosen)
        remedy = f"give the folder of one, or call one {SCRIPT}"
        raise ConfigError(f"repo={shown_path(folder)}: several files define {FUNCTION} ({names}): {remedy}")
    if broken:
        raise broken[0]
    raise ConfigError(f"repo={shown_path(folder)}: no {SCRIPT} that defines {FUNCTION}: not a challenge's repository")


def _defining(folder: Path, main: Path) -> Path | None:
    """The script, or the file of the repository from which it imports `select_model`."""
    tree = parsed(main)
    own = _function(tree)
    if own in tree.body:
        return main
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and FUNCTION in [one.name for one in node.names]:
            stem = folder.joinpath(*node.module.split("."))
            for file in (Path(f"{stem}.py"), stem / "__init__.py"):
                if os.path.isfile(file) and _function(parsed(file)):
                    return file
    return main if own else None


def _root(folder: Path, script: Path, tree: ast.Module) -> Path:
    """The folder that the script's imports start from: its own, or one above it up to the folder that was given."""
    above = [place for place in script.parents if place.is_relative_to(folder)]
    imported = {one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
    packages = {name.partition(".")[0] for name in imported} - {""}
    for place in above if script.name == SCRIPT else reversed(above):
        if any(os.path.isdir(place / name) or os.path.isfile(place / f"{name}.py") for name in packages):
            return place
    return script.parent if script.name == SCRIPT else folder


def parsed(file: Path) -> ast.Module:
    """The syntax tree of a source file, in the encoding that it declares.

    Raises:
        ConfigError: It is no Python of this version, or too large.
    """
    source = _bytes(file)
    if len(source) > _MOST_BYTES:
        raise ConfigError(f"{shown_path(file)}: larger than {_MOST_BYTES >> 20} MiB, not read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of strangers' escapes
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"{shown_path(file)}: not valid Python ({one_line(str(error))})") from error


def _bytes(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{shown_path(file)}: cannot be read ({error.strerror})") from error


def _function(tree: ast.Module) -> Function | None:
    """The last definition of `select_model` outside of functions and classes, which is the one in force."""
    nodes: list[ast.AST] = [*tree.body]
    for node in nodes:  # which grow
        nodes += ast.iter_child_nodes(node) if isinstance(node, (ast.If, ast.Try, ast.With, ast.ExceptHandler)) else ()
    found = [one for one in nodes if isinstance(one, Function) and one.name == FUNCTION]
    return max(found, key=lambda one: one.lineno, default=None)


def _entry(key: IdKey, names: Sequence[str], statements: list[ast.stmt], function: Function, root: Path) -> Branch:
    known = known_id(names, key)
    body = ast.Module(statements, [])
    for node in ast.walk(body):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                assign(target, node.value, known)
        elif isinstance(node, ast.Dict):
            for label, value in zip(node.keys, node.values, strict=True):
                if isinstance(label, ast.Constant) and label.value in ("name", "data_range"):
                    assign(ast.Name(str(label.value)), value, known)
    parts = next(filter(None, (_returned(one) for place in (body, function) for one in ast.walk(place))), [])
    stated = [constant(part, known) for part in parts[1:_RESULT]] or [None, None]
    name = next((one for one in (stated[0], known.get("name")) if isinstance(one, str)), f"team{number_of(key):02}")
    limits = (one for one in (stated[1], known.get("data_range")) if isinstance(one, (int, float)) and 0 < one < _HUGE)
    imported = (constant(node.args[0], known) for node in ast.walk(body) if imports_by_name(node))
    return Branch(
        id=number_of(key),
        key=key,
        name=one_line(name).strip()[:60],
        data_range=float(next(limits, 1.0)),
        weights=tuple(dict.fromkeys(_weights(body, known, root))),
        modules=tuple(one for one in imported if isinstance(one, str)),
        body=body,
    )


def _returned(node: ast.AST) -> list[ast.expr]:
    """The parts of `return model, name, data_range, tile`."""
    value = node.value if isinstance(node, ast.Return) else None
    return value.elts if isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) >= _RESULT else []


def _weights(body: ast.Module, known: Mapping[str, object], root: Path) -> Iterator[str]:
    """Paths of weight files in a branch; for a pattern, or a path whose beginning is not known, the files that fit."""
    for text, whole in texts(body, known):
        path = os.path.normpath(text)
        is_file_name = text.endswith(_WEIGHTS) and text.isprintable() and "://" not in text
        if not is_file_name or len(text) > _LONGEST_PATH or os.path.basename(path).startswith("."):
            continue
        is_pattern = bool(set("*?") & set(path))
        if whole and (not is_pattern or os.path.isfile(root / path)):
            yield path
        elif is_pattern:
            yield from fnmatch.filter(weight_files(root), path if whole and "/" in path else f"*{path}")
        else:
            fitting = [one for one in weight_files(root) if f"/{one}".endswith(f"/{path.lstrip('/')}")]
            yield from fitting if len(fitting) == 1 else ()


@lru_cache(maxsize=16)
def weight_files(root: Path) -> tuple[str, ...]:
    """Weight files of a repository, relative to it."""
    found: list[str] = []
    seen = 0
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith("."))
        weights = (os.path.join(folder, name) for name in sorted(files) if name.endswith(_WEIGHTS))
        found += [os.path.relpath(path, root) for path in weights]
        seen += len(files)
        if seen > _MOST_FILES:
            break
    return tuple(found)
