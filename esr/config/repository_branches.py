"""The choices in a script's `select_model`: the ids that it knows, and the statements that build each network.

Read are `if` and `match` over the id, with one number, several or a range, numbers as texts, constants and members of
an Enum, a last `else`; a dictionary whose keys are ids; modules that are imported by a name with the id in it; and a
function without a choice.
"""

import ast
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeGuard

from esr.config.repository_values import called, constant, dotted
from esr.errors import ConfigError
from esr.text import one_line, shown_path

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
IdKey: TypeAlias = int | str
"""An id as the script compares it."""
_Values: TypeAlias = Mapping[str, ast.expr]
"""Names of the script, those in a class with its name before a dot, and what they are set to."""
_IMPORTS = ("import_module", "__import__")
"""Functions that import a module by its name."""
_NUMBER = re.compile(r"(-?\d{1,9})|(?:team|model|id)[_-]?(\d{1,9})", re.IGNORECASE)
_MOST_KEYS = 1000
"""Ids of one range."""
_ID = re.compile(r"(?<![a-z])id(?![a-z])", re.IGNORECASE)
_LIKELY = re.compile(r"(?<![a-z])id(?![a-z])|model|team", re.IGNORECASE)
_CLASS = re.compile(r"(int|str)$|[A-Z]")
"""Called name that turns an id into an id of another type."""
_DEPTH = 3
"""Functions of the script that call each other."""


class Choice(NamedTuple):
    """A branch of `select_model`."""

    keys: Sequence[IdKey]
    """Empty: it is taken for ids that no other branch names."""
    body: list[ast.stmt]
    untold: ast.expr | ast.pattern | None = None
    """A comparison with something that only running the script would tell."""


def choices(tree: ast.Module, function: Function, root: Path, script: Path) -> tuple[tuple[str, ...], list[Choice]]:
    """The branches of `select_model`, or of a function of the script that it calls.

    Returns:
        The names that hold the id, without what stands before their last dot, the likeliest first. All branches, in the
        function's order; none if they cannot be told.

    Raises:
        ConfigError: A branch compares the id with something that only running the script would tell.
    """
    functions = {one.name: one for one in (*tree.body, *ast.walk(function)) if isinstance(one, Function)}
    values = _assigned(tree)
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and called(node) in functions]
    pairs = ((functions[called(node)].args.args, node.args) for node in calls)
    passed = [(to.arg, last_name(one)) for names, given in pairs for to, one in zip(names, given, strict=False)]
    for one in (function, *(functions[name] for name in dict.fromkeys(map(called, calls)))):
        names = _id_names(one, passed)
        branches = list(_branches(one.body, names, values))
        ends = [at for at, step in enumerate(one.body) if isinstance(step, (ast.If, ast.Match, ast.With, ast.Try))]
        if branches and all(isinstance(choice.body[-1], (ast.Return, ast.Raise)) for choice in branches):
            branches.append(Choice([], one.body[ends[-1] + 1 :]))
        chosen = any(_builds(choice.body) for choice in branches if not choice.untold)
        others = [] if chosen else list(_of_tables(one, names, values)) or list(_of_modules(one, names, root))
        for test in (choice.untold for choice in branches if choice.untold and not others):
            what = f"the ids that `{one_line(ast.unparse(test))[:80]}` stands for cannot be told without running it"
            remedy = "compare with numbers, or write a YAML for each network, see docs/own-network.md"
            raise ConfigError(f"{shown_path(script)}:{test.lineno}: {what}; {remedy}")
        if found := others or branches:
            return names, _built(found, functions)
    names = _id_names(function, passed)
    return names, [] if _is_used(function, names) else _built([Choice([], function.body)], functions)


def number_of(key: IdKey) -> int:
    """The id that a key stands for: 7 for 7, "07" and "team07"."""
    match = _NUMBER.fullmatch(str(key))
    return int(match[1] or match[2]) if match else 0


def known_id(names: Collection[str], key: IdKey) -> dict[str, object]:
    """An id by each name that it may have."""
    return {prefix + last: key for last in (*names, "model_id") for prefix in ("", "args.", "opt.")}


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
        elif isinstance(node, ast.ClassDef) and "dataclass" in [
            last_name(getattr(one, "func", one)) for one in node.decorator_list
        ]:
            fields = [one for one in node.body if isinstance(one, ast.AnnAssign) and one.value]
            found |= {dotted(one.target): constant(one.value, {}) for one in fields if one.value}
    return found


def last_name(node: ast.expr) -> str:
    """The last part of a dotted name, a name's new name in `:=`, a text key; of what a class is called with, too."""
    if isinstance(node, ast.NamedExpr):
        node = node.target
    if isinstance(node, ast.Subscript) or (isinstance(node, ast.Call) and called(node) in ("get", "getattr")):
        keys = [getattr(one, "value", None) for one in ast.iter_child_nodes(node) if isinstance(one, ast.Constant)]
        return next((key for key in keys if isinstance(key, str)), "")
    if isinstance(node, ast.Call) and len(node.args) == 1 and _CLASS.match(called(node)):
        return last_name(node.args[0])
    return dotted(node).rpartition(".")[2]


def _id_names(function: Function, passed: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The names that hold the id: of those that are compared, looked up or printed, the likeliest, and its copies."""
    found: Counter[str] = Counter()
    copies = [*passed]
    for node in ast.walk(function):
        if isinstance(node, ast.Compare):
            found.update(map(last_name, (node.left, *node.comparators)))
        elif isinstance(node, (ast.Match, ast.FormattedValue)):
            found[last_name(node.subject if isinstance(node, ast.Match) else node.value)] += 1
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and node.value:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            copies += [(last_name(one), last_name(node.value)) for one in targets]
        found.update(map(last_name, _looked_up(node)))
    copied = {name for name, source in copies if name and _ID.search(source)}
    likely = [name for name in found if (_LIKELY.search(name) and "gpu" not in name) or name in copied]
    names = [max(likely, key=lambda name: (bool(_ID.search(name)) or name in copied, found[name]))] if likely else []
    for name in names:  # which grows
        names += sorted({other for pair in copies if name in pair for other in pair} - {*names, ""})
    return tuple(names)


def _built(found: Sequence[Choice], functions: Mapping[str, Function]) -> list[Choice]:
    """Choices that build something, with the bodies of the script's own functions that they call or name."""
    return [Choice(one.keys, _with_functions(one.body, functions)) for one in found if not _is_empty(one.body)]


def _with_functions(body: list[ast.stmt], functions: Mapping[str, Function]) -> list[ast.stmt]:
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
    kept = [one for one in body if not isinstance(one, (ast.Pass, ast.Raise))]
    values = [one.value if isinstance(one, (ast.Expr, ast.Return)) else one for one in kept]
    calls = [one for one in values if not (one is None or isinstance(one, ast.Constant))]
    return all(isinstance(one, ast.Call) and called(one) in ("print", "exit") for one in calls)


def _builds(body: Sequence[ast.stmt]) -> bool:
    """True for statements that set or return something, unlike a change to a network that is there."""
    return any(isinstance(node, (ast.Assign, ast.Return)) for one in body for node in ast.walk(one))


def _branches(body: Sequence[ast.stmt], names: Collection[str], values: _Values) -> Iterator[Choice]:
    """Those of every `if`, `elif` and `case` over the id that stands in no other such branch."""
    waiting: list[ast.stmt] = list(body)
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, ast.If):
            keys = _keys_of_test(one.test, names, values)
            if keys:
                yield Choice(keys, one.body)
                if one.orelse and not isinstance(one.orelse[0], ast.If):
                    yield Choice([], one.orelse)
            elif keys is not None and _builds(one.body) and not list(_branches(one.body, names, values)):
                yield Choice([], one.body, one.test)
            waiting = [*([] if keys else one.body), *one.orelse, *waiting]
        elif isinstance(one, ast.Match) and last_name(one.subject) in names:
            for case in one.cases:
                named = [at.value for at in ast.walk(case.pattern) if isinstance(at, ast.MatchValue)]
                keys, whole = [key for at in named for key in _keys(at, values)], isinstance(case.pattern, ast.MatchAs)
                yield Choice(keys, case.body, None if keys or whole else case.pattern)
        elif isinstance(one, (ast.With, ast.Try)):
            waiting = [*one.body, *waiting]


def _keys_of_test(test: ast.expr, names: Collection[str], values: _Values) -> list[IdKey] | None:
    """Ids for which a test holds: of `id == 3`, `id in (1, 2)`, `id in range(1, 4)`, `… or …`.

    Returns:
        `None`: it tests something else; empty: the ids cannot be told.
    """
    if isinstance(test, ast.BoolOp):
        parts = [keys for one in test.values if (keys := _keys_of_test(one, names, values)) is not None]
        return [key for keys in parts for key in keys if all(parts)] if parts else None
    if not isinstance(test, ast.Compare) or isinstance(test.ops[0], (ast.NotEq, ast.NotIn, ast.IsNot)):
        return None
    sides = [test.left, *test.comparators]
    others = [one for one in sides if last_name(one) not in names]
    if len(others) == len(sides):
        return None
    if len(others) > 1 or not isinstance(test.ops[0], (ast.Eq, ast.Is, ast.In)):
        return []
    is_other = all(isinstance(_meant(one, values), (ast.Constant, ast.Dict)) for one in others)
    return [key for one in others for key in _keys(one, values)] or (None if is_other else [])


def _keys(node: ast.expr, values: _Values) -> Iterator[IdKey]:
    """Ids that stand in an expression."""
    node = _meant(node, values)
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        for one in node.elts:
            yield from _keys(one, values)
    elif isinstance(node, ast.Call) and called(node) == "range":
        bounds = [value for one in node.args if type(value := constant(one, {})) is int]
        if len(bounds) == len(node.args) in (1, 2, 3) and bounds[2:] != [0]:
            yield from (key for key in range(*bounds)[:_MOST_KEYS] if _NUMBER.fullmatch(str(key)))
    else:
        key = constant(node, {})
        if (type(key) is int and abs(key) < 10**9) or (isinstance(key, str) and _NUMBER.fullmatch(key)):
            yield key


def _meant(node: ast.expr, values: _Values) -> ast.expr:
    """What a name is set to, or a member of an Enum; any other expression as it is."""
    return values.get(dotted(node).removesuffix(".value"), node)


def _assigned(tree: ast.Module) -> dict[str, ast.expr]:
    found: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for one in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(one, (ast.Assign, ast.AnnAssign)) and one.value:
                targets = one.targets if isinstance(one, ast.Assign) else [one.target]
                found |= {owner + name: one.value for name in map(dotted, targets) if name}
    return found


def _of_tables(function: Function, names: Collection[str], values: _Values) -> Iterator[Choice]:
    """The values of a dictionary in which the function looks the id up."""
    for node in ast.walk(function):
        if {*names} & {*map(last_name, _looked_up(node))}:
            owner = getattr(node.func if isinstance(node, ast.Call) else node, "value", None)
            table = _meant(owner, values) if isinstance(owner, ast.expr) else None
            if isinstance(table, ast.Dict):
                pairs = zip(table.keys, table.values, strict=True)
                found = (Choice(list(_keys(key, values)), [ast.Expr(value)]) for key, value in pairs if key)
                yield from (choice for choice in found if choice.keys)


def _looked_up(node: ast.AST) -> list[ast.expr]:
    """The key of `table[key]` and `table.get(key)`."""
    if isinstance(node, ast.Subscript):
        return [node.slice]
    return node.args[:1] if isinstance(node, ast.Call) and called(node) == "get" else []


def _of_modules(function: Function, names: Collection[str], root: Path) -> Iterator[Choice]:
    """Modules of the repository that the function imports by a name with the id in it."""
    imported = [node.args[0] for node in ast.walk(function) if imports_by_name(node)]
    stems = [path.stem for path in (*root.glob("*"), *root.glob("*/*"))] if imported and names else []
    numbers = sorted({int(digits) for stem in stems for digits in re.findall(r"\d{1,4}", stem)})
    for number in numbers[:_MOST_KEYS]:
        known = known_id(names, number)
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


def _is_used(function: Function, names: Collection[str]) -> bool:
    """True if more than a text depends on the id; whoever is given all arguments may choose by it."""
    deciding = {*names, "args", "opt"}
    for node in ast.walk(function):
        if imports_by_name(node) and not isinstance(node.args[0], ast.Constant):
            return True
        given: list[ast.AST] = [*_looked_up(node)]
        if isinstance(node, ast.Call) and called(node) not in ("print", "str", "int", "format"):
            given = [*node.args, *(one.value for one in node.keywords)]
        elif isinstance(node, (ast.If, ast.IfExp, ast.Match)):
            tested = ast.walk(node.subject if isinstance(node, ast.Match) else node.test)
            given = [one for one in tested if isinstance(one, ast.expr) and last_name(one) in names]
        if deciding & {last_name(one) for one in given if isinstance(one, ast.expr)}:
            return True
    return False
