"""A challenge's repository as it stands, read without running any of it.

Such a repository has a script, `test_demo.py`, whose `select_model(args, device)` is a chain of `if model_id == N`;
each branch names a network, its range of values and its weights. Everything here comes from the script's syntax tree.
"""

import ast
import os
import warnings
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import msgspec

from esr.errors import ConfigError
from esr.text import listed, one_line, shown_path

SCRIPT = "test_demo.py"
FUNCTION = "select_model"
BASELINES = (-1, 0)
"""Ids of a repository's own baseline: 2022 has two, of which the first is the challenge's."""
_WEIGHTS = (".pth", ".pt", ".pkl", ".pth.tar", ".ckpt", ".safetensors", ".npz", ".bin", ".onnx")
_MOST_BYTES = 4 << 20
"""Of a source file."""


class Branch(msgspec.Struct, frozen=True):
    """A network of a repository."""

    id: int
    name: str
    """As the branch names it, or `team07`; not trusted."""
    data_range: float
    """As the branch states it, else 1.0; the worker takes what the script returns."""
    weights: tuple[str, ...]
    """Paths of weight files named in the branch, relative to the repository."""
    body: ast.Module
    """Its statements."""


class Layout(msgspec.Struct, frozen=True):
    """A repository's script and networks."""

    root: Path
    script: Path
    takes_id: bool
    """`select_model` takes the id itself instead of `args.model_id`."""
    entries: tuple[Branch, ...]
    """By id."""

    def entry(self, number: int | None) -> Branch:
        """The network of an id.

        Raises:
            ConfigError: There is none.
        """
        known = {entry.id: entry for entry in self.entries}
        if number not in known:
            near = "give one" if number is None else "no such network"
            raise ConfigError(f"id={number}: {near}; {self.root.name} has {', '.join(map(str, known))}")
        return known[number]

    @property
    def baseline(self) -> Branch:
        """The repository's own baseline: id -1 or 0, else its first network."""
        known = {entry.id: entry for entry in self.entries}
        return next((known[number] for number in BASELINES if number in known), self.entries[0])


def read_layout(root: Path) -> Layout:
    """The script and the networks of a repository.

    Raises:
        ConfigError: The folder has no script with a `select_model`, or its networks cannot be told apart.
    """
    folder = Path(os.path.expanduser(root)).absolute()
    if not folder.is_dir():
        raise ConfigError(f"repo={shown_path(root)}: no such folder; give the checkout of a challenge's repository")
    script = _script(folder)
    return _read(folder, script, script.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _read(folder: Path, script: Path, _: int) -> Layout:
    tree = parsed(script)
    function = _function(tree)
    if function is None:
        raise ConfigError(f"{shown_path(script)}: no function {FUNCTION}")
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    entries: dict[int, Branch] = {}
    takes_id = False
    for branch in _branches(function):
        number, variable = _number_of(branch.test)
        if number is None or number in entries or _is_empty(branch.body):
            continue
        takes_id = takes_id or (variable in names[:1] and not _reassigned(function, variable))
        entries[number] = _entry(number, variable, branch)
    if not entries:
        raise ConfigError(
            f"{shown_path(script)}: {FUNCTION} is no chain of `if model_id == N`, so its networks cannot be told; "
            "write a YAML for each, see docs/own-network.md"
        )
    return Layout(folder, script, takes_id, tuple(entries[number] for number in sorted(entries)))


def _script(folder: Path) -> Path:
    """The one file that defines `select_model`: `test_demo.py`, else any other at the top or one folder below."""
    if (folder / SCRIPT).is_file() and _function(parsed(folder / SCRIPT)):
        return folder / SCRIPT
    others = sorted({*folder.glob("*.py"), *folder.glob("*/*.py")})
    found = [file for file in others if FUNCTION in _text(file) and _function(parsed(file))]
    if len(found) == 1:
        return found[0]
    if found:
        names = listed(str(file.relative_to(folder)) for file in found)
        raise ConfigError(f"repo={shown_path(folder)}: several files define {FUNCTION} ({names}), none is {SCRIPT}")
    raise ConfigError(f"repo={shown_path(folder)}: no {SCRIPT} that defines {FUNCTION}: not a challenge's repository")


def parsed(file: Path) -> ast.Module:
    """The syntax tree of a source file.

    Raises:
        ConfigError: It is no Python of this version, or too large.
    """
    text = _text(file)
    if len(text) > _MOST_BYTES:
        raise ConfigError(f"{shown_path(file)}: larger than {_MOST_BYTES >> 20} MiB, not read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of strangers' escapes
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"{shown_path(file)}: not valid Python ({one_line(str(error))})") from error


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"{shown_path(file)}: cannot be read ({error.strerror})") from error


def _function(tree: ast.Module) -> ast.FunctionDef | None:
    return next((one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == FUNCTION), None)


def _branches(function: ast.FunctionDef) -> Iterator[ast.If]:
    """Every `if` and `elif` of the chains that stand directly in the function."""
    waiting: list[ast.stmt] = list(function.body)
    while waiting:
        statement = waiting.pop(0)
        if isinstance(statement, ast.If):
            yield statement
            waiting = [*statement.orelse, *waiting]


def _number_of(test: ast.expr) -> tuple[int | None, str]:
    """Id and name of the variable in `model_id == N` or `args.model_id == N`."""
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)):
        return None, ""
    sides = [test.left, test.comparators[0]]
    for value, other in (sides, sides[::-1]):
        number = _constant(other, {})
        if isinstance(value, (ast.Name, ast.Attribute)) and type(number) is int:
            return number, value.id if isinstance(value, ast.Name) else ""
    return None, ""


def _is_empty(body: list[ast.stmt]) -> bool:
    return all(isinstance(one, (ast.Pass, ast.Raise)) or _is_text(one) for one in body)


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _reassigned(function: ast.FunctionDef, name: str) -> bool:
    stores = (one for one in ast.walk(function) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store))
    return any(one.id == name for one in stores)


def _entry(number: int, variable: str, branch: ast.If) -> Branch:
    known: dict[str, object] = {variable: number} if variable else {"model_id": number}
    body = ast.Module(branch.body, [])
    for statement in ast.walk(body):
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                _assign(target, statement.value, known)
    data_range = known.get("data_range")
    paths = [text for text in _texts(body, known) if text.endswith(_WEIGHTS) and len(text) < 256]  # noqa: PLR2004
    return Branch(
        id=number,
        name=one_line(str(known.get("name") or f"team{number:02}")).strip()[:60],
        data_range=float(data_range) if isinstance(data_range, (int, float)) else 1.0,
        weights=tuple(dict.fromkeys(map(os.path.normpath, paths))),
        body=body,
    )


def _texts(node: ast.AST, known: dict[str, object]) -> Iterator[str]:
    """Every text in a branch; not the parts of which a longer one is made."""
    if isinstance(node, ast.expr) and isinstance(text := _constant(node, known), str):
        yield text
    elif not isinstance(node, ast.JoinedStr):
        for child in ast.iter_child_nodes(node):
            yield from _texts(child, known)


def _assign(target: ast.expr, value: ast.expr, known: dict[str, object]) -> None:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, its in zip(target.elts, value.elts, strict=False):
            _assign(one, its, known)
    elif isinstance(target, ast.Name) and (constant := _constant(value, known)) is not None:
        known[target.id] = constant


def _constant(node: ast.expr, known: dict[str, object]) -> object:  # noqa: PLR0911 - one for each kind of node
    """The value of a number, a text, an f-string or `os.path.join` of known parts; `None` for anything else."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        return -node.operand.value if isinstance(node.operand.value, (int, float)) else None
    if isinstance(node, ast.JoinedStr):
        return _joined([_formatted(part, known) for part in node.values], "")
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Div)):
        between = "" if isinstance(node.op, ast.Add) else "/"
        return _joined([_constant(one, known) for one in (node.left, node.right)], between)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "join":
        parts = [_constant(one, known) for one in node.args]
        return _joined(parts, "/") if len(parts) > 1 else None
    return None


def _joined(parts: list[object], between: str) -> str | None:
    texts = [part for part in parts if isinstance(part, str)]
    return between.join(texts) if texts and len(texts) == len(parts) else None


def _formatted(part: ast.expr, known: dict[str, object]) -> object:
    if not isinstance(part, ast.FormattedValue):
        return _constant(part, known)
    value = _constant(part.value, known)
    spec = _constant(part.format_spec, known) if part.format_spec else ""
    if value is None or not isinstance(spec, str) or len(spec) > 8:  # noqa: PLR2004 - a width may be a thousand million
        return None
    try:
        return format(value, spec) if not spec.strip("0123456789").strip("dfs.") else None
    except ValueError:
        return None
