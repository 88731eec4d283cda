"""The choices in a script's `select_model`: the ids that it knows, and the statements that build each network.

Read are `if` and `match` over the id, with one number, several or a range, numbers as texts, a last `else`; a
dictionary whose keys are ids; modules that are imported by a name with the id in it; and a function without a choice.
"""

import ast
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeGuard

from esr.config.repository_values import called, constant, dotted

IdKey: TypeAlias = int | str
"""An id as the script compares it."""
_IMPORTS = ("import_module", "__import__")
"""Functions that import a module by its name."""
_NUMBER = re.compile(r"(-?\d{1,9})|(?:team|model|id)[_-]?(\d{1,9})", re.IGNORECASE)
_MOST_KEYS = 1000
"""Ids of one range."""
_ID = re.compile(r"(?<![a-z])id(?![a-z])", re.IGNORECASE)
_LIKELY = re.compile(r"(?<![a-z])id(?![a-z])|model|team", re.IGNORECASE)
_DEPTH = 3
"""Functions of the script that call each other."""


class Choice(NamedTuple):
    """A branch of `select_model`."""

    keys: Sequence[IdKey]
    """Empty: it is taken for ids that no other branch names."""
    body: list[ast.stmt]


class Choices(NamedTuple):
    """All branches, in the function's order."""

    name: str
    """The name that holds the id, without what stands before its last dot; empty: none does."""
    found: list[Choice]


def choices(tree: ast.Module, function: ast.FunctionDef, root: Path) -> Choices:
    """The branches of `select_model`, or of a function of the script that it calls; none if they cannot be told."""
    functions = {one.name: one for one in tree.body if isinstance(one, ast.FunctionDef)}
    calls = [called(node) for node in ast.walk(function) if isinstance(node, ast.Call)]
    for one in (function, *(functions[name] for name in dict.fromkeys(calls) if name in functions)):
        name = _id_name(one)
        found = list(_branches(one, name)) or list(_of_tables(tree, one, name)) if name else []
        if found or (found := list(_of_modules(one, name, root))):
            return Choices(name, _built(found, functions))
    name = _id_name(function)
    return Choices(name, [] if _is_used(function, name) else _built([Choice([], function.body)], functions))


def number_of(key: IdKey) -> int:
    """The id that a key stands for: 7 for 7, "07" and "team07"."""
    match = _NUMBER.fullmatch(str(key))
    return int(match[1] or match[2]) if match else 0


def known_id(name: str, key: IdKey) -> dict[str, object]:
    """An id by each name that it may have."""
    return {prefix + last: key for last in (name, "model_id") for prefix in ("", "args.", "opt.")}


def arguments(tree: ast.Module) -> Mapping[str, object]:
    """Options of the script's command line and their defaults, which its functions may read."""
    found: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and called(node) == "add_argument":
            words = [word for one in node.args if isinstance(word := constant(one, {}), str)]
            given = {one.arg: constant(one.value, {}) for one in node.keywords}
            name = given.get("dest") or max(words, key=len, default="").lstrip("-").replace("-", "_")
            usual = {"store_true": False, "store_false": True}.get(str(given.get("action")))
            found[str(name)] = given.get("default", usual)
    return found


def last_name(node: ast.expr) -> str:
    """The last part of a dotted name; of that inside `int(…)` and `str(…)`, too."""
    if isinstance(node, ast.Call) and called(node) in ("int", "str") and len(node.args) == 1:
        node = node.args[0]
    return dotted(node).rpartition(".")[2]


def _id_name(function: ast.FunctionDef) -> str:
    """The name that holds the id: of those that are compared, looked up or printed, the likeliest."""
    found: Counter[str] = Counter()
    for node in ast.walk(function):
        if isinstance(node, ast.Compare):
            found.update(map(last_name, (node.left, *node.comparators)))
        elif isinstance(node, ast.Match):
            found[last_name(node.subject)] += 1
        elif isinstance(node, ast.FormattedValue):
            found[last_name(node.value)] += 1
        found.update(map(last_name, _looked_up(node)))
    assigned = (node for node in ast.walk(function) if isinstance(node, ast.Assign))
    copies = {last_name(one) for node in assigned if _ID.search(last_name(node.value)) for one in node.targets}
    likely = [name for name in found if (_LIKELY.search(name) and "gpu" not in name) or name in copies - {""}]
    return max(likely, key=lambda name: (bool(_ID.search(name)) or name in copies, found[name]), default="")


def _built(found: Sequence[Choice], functions: Mapping[str, ast.FunctionDef]) -> list[Choice]:
    """Choices that build something, with the bodies of the script's own functions that they call or name."""
    return [Choice(keys, _with_functions(body, functions)) for keys, body in found if not _is_empty(body)]


def _with_functions(body: list[ast.stmt], functions: Mapping[str, ast.FunctionDef]) -> list[ast.stmt]:
    seen: set[str] = set()
    whole, fresh = list(body), list(body)
    for _ in range(_DEPTH):
        names = {node.id for one in fresh for node in ast.walk(one) if isinstance(node, ast.Name)} - seen
        fresh = [one for name in sorted(names & functions.keys()) for one in functions[name].body]
        seen |= names
        whole += fresh
    return whole


def _is_empty(body: Sequence[ast.stmt]) -> bool:
    """True for a branch that builds nothing: `pass`, an error, a message."""
    return all(isinstance(one, (ast.Pass, ast.Raise)) or _only_says(one) for one in body)


def _only_says(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Return):
        return statement.value is None or getattr(statement.value, "value", "") is None
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) or (isinstance(value, ast.Call) and called(value) in ("print", "exit"))


def _branches(function: ast.FunctionDef, name: str) -> Iterator[Choice]:
    """Those of every `if`, `elif` and `case` over the id that stands in no other such branch."""
    waiting: list[ast.stmt] = list(function.body)
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, ast.If):
            keys = _keys_of_test(one.test, name)
            if keys:
                yield Choice(keys, one.body)
                if one.orelse and not isinstance(one.orelse[0], ast.If):
                    yield Choice([], one.orelse)
            waiting = [*([] if keys else one.body), *one.orelse, *waiting]
        elif isinstance(one, ast.Match) and last_name(one.subject) == name:
            yield from (Choice(_keys_of_pattern(case.pattern), case.body) for case in one.cases)
        elif isinstance(one, (ast.With, ast.Try)):
            waiting = [*one.body, *waiting]


def _keys_of_test(test: ast.expr, name: str) -> list[IdKey]:
    """Ids for which a test holds: of `id == 3`, `id in (1, 2)`, `id in range(1, 4)`, `… or …`."""
    if isinstance(test, ast.BoolOp):
        return [key for one in test.values for key in _keys_of_test(one, name)]
    if not isinstance(test, ast.Compare) or len(test.ops) > 1:
        return []
    left, right = test.left, test.comparators[0]
    if last_name(left) == name and isinstance(test.ops[0], (ast.Eq, ast.In)):
        return list(_keys(right))
    return list(_keys(left)) if last_name(right) == name and isinstance(test.ops[0], ast.Eq) else []


def _keys_of_pattern(pattern: ast.pattern) -> list[IdKey]:
    patterns = pattern.patterns if isinstance(pattern, ast.MatchOr) else [pattern]
    return [key for one in patterns if isinstance(one, ast.MatchValue) for key in _keys(one.value)]


def _keys(node: ast.expr) -> Iterator[IdKey]:
    """Ids that stand in an expression."""
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        for one in node.elts:
            yield from _keys(one)
    elif isinstance(node, ast.Call) and called(node) == "range":
        bounds = [value for one in node.args if type(value := constant(one, {})) is int]
        if len(bounds) == len(node.args) in (1, 2, 3) and bounds[2:] != [0]:
            yield from (key for key in range(*bounds)[:_MOST_KEYS] if _NUMBER.fullmatch(str(key)))
    else:
        key = constant(node, {})
        if (type(key) is int and abs(key) < 10**9) or (isinstance(key, str) and _NUMBER.fullmatch(key)):
            yield key


def _of_tables(tree: ast.Module, function: ast.FunctionDef, name: str) -> Iterator[Choice]:
    """The values of a dictionary in which the function looks the id up."""
    tables: dict[str, ast.expr | None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            tables |= {dotted(target): node.value for target in node.targets}
        elif isinstance(node, ast.AnnAssign):
            tables[dotted(node.target)] = node.value
    for node in ast.walk(function):
        if name in map(last_name, _looked_up(node)):
            owner = getattr(node.func if isinstance(node, ast.Call) else node, "value", None)
            table = tables.get(owner.id) if isinstance(owner, ast.Name) else owner
            if isinstance(table, ast.Dict):
                pairs = zip(table.keys, table.values, strict=True)
                found = (Choice(list(_keys(key)), [ast.Expr(value)]) for key, value in pairs if key)
                yield from (choice for choice in found if choice.keys)


def _looked_up(node: ast.AST) -> list[ast.expr]:
    """The key of `table[key]` and `table.get(key)`."""
    if isinstance(node, ast.Subscript):
        return [node.slice]
    return node.args[:1] if isinstance(node, ast.Call) and called(node) == "get" else []


def _of_modules(function: ast.FunctionDef, name: str, root: Path) -> Iterator[Choice]:
    """Modules of the repository that the function imports by a name with the id in it."""
    imported = [node.args[0] for node in ast.walk(function) if imports_by_name(node)]
    stems = [path.stem for path in (*root.glob("*"), *root.glob("*/*"))] if imported and name else []
    numbers = sorted({int(digits) for stem in stems for digits in re.findall(r"\d{1,4}", stem)})
    for number in numbers[:_MOST_KEYS]:
        known = known_id(name, number)
        if any(_is_module(root, constant(module, known)) for module in imported):
            yield Choice([number], function.body)


def imports_by_name(node: ast.AST) -> TypeGuard[ast.Call]:
    """True for a call that imports the module that its first argument names."""
    return isinstance(node, ast.Call) and called(node) in _IMPORTS and len(node.args) > 0


def _is_module(root: Path, name: object) -> bool:
    if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
        return False
    path = root.joinpath(*name.split("."))
    return os.path.isfile(f"{path}.py") or os.path.isdir(path)  # a name may be too long for any file


def _is_used(function: ast.FunctionDef, name: str) -> bool:
    """True if more than a text depends on the id; whoever is given all arguments may choose by it."""
    deciding = {name, "args", "opt"} - {""}
    for node in ast.walk(function):
        if imports_by_name(node) and not isinstance(node.args[0], ast.Constant):
            return True
        given: list[ast.AST] = [*_looked_up(node)]
        if isinstance(node, ast.Call) and called(node) not in ("print", "str", "int", "format"):
            given = [*node.args, *(one.value for one in node.keywords)]
        elif isinstance(node, (ast.If, ast.IfExp, ast.Match)):
            tested = ast.walk(node.subject if isinstance(node, ast.Match) else node.test)
            given = [one for one in tested if isinstance(one, ast.expr) and last_name(one) == name]
        if deciding & {last_name(one) for one in given if isinstance(one, ast.expr)}:
            return True
    return False
