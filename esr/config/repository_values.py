"""Values in a script's syntax tree that can be told without running it: numbers, texts, paths."""

import ast
import string
from collections.abc import Iterator, Mapping

Known = Mapping[str, object]
"""Names, dotted ones too, whose values are known."""
_PATHS = ("Path", "PurePath", "PosixPath", "PurePosixPath", "fspath", "abspath", "realpath", "normpath", "expanduser")
_MOST_DIGITS = 3
"""Characters of a format: a width may be a thousand million."""
_LONGEST = 1000
"""Characters of a text: one may be doubled in every line."""


def dotted(node: ast.expr) -> str:
    """`a.b.c` of a name and its attributes; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def called(node: ast.Call) -> str:
    """The last part of a called name."""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def constant(node: ast.expr, known: Known) -> object:
    """The value of a number, a text, an f-string or a path of known parts; `None` for anything else."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, (ast.Name, ast.Attribute)):
        return known.get(dotted(node))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        return -node.operand.value if isinstance(node.operand.value, (int, float)) else None
    if isinstance(node, ast.FormattedValue):
        spec = constant(node.format_spec, known) if node.format_spec else ""
        return _formatted(constant(node.value, known), spec)
    if isinstance(node, ast.Call) and called(node) in ("str", "zfill", "format"):
        return _text(node, known)
    between, parts = _composed(node)
    found = [value for part in parts if isinstance(value := constant(part, known), str)]
    return _short(between.join(found)) if found and len(found) == len(parts) else None


def known_end(node: ast.expr, known: Known) -> tuple[str, bool]:
    """The known end of a text or a path, and True if it is the whole; empty where its last part is not known."""
    value = constant(node, known)
    if isinstance(value, str):
        return value, True
    between, parts = _composed(node)
    end: list[str] = []
    for part in reversed(parts):
        text, whole = known_end(part, known)
        end.insert(0, text)
        if not whole:
            break
    return between.join(filter(None, end)), False


def texts(node: ast.AST, known: Known) -> Iterator[tuple[str, bool]]:
    """Every text below a node, as `known_end` gives it; not the parts of which a longer one is made."""
    text, whole = known_end(node, known) if isinstance(node, ast.expr) else ("", False)
    if text:
        yield text, whole
    elif not isinstance(node, ast.JoinedStr):
        for child in ast.iter_child_nodes(node):
            yield from texts(child, known)


def assign(target: ast.expr, value: ast.expr, known: dict[str, object]) -> None:
    """Notes what an assignment makes known."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, its in zip(target.elts, value.elts, strict=False):
            assign(one, its, known)
    elif isinstance(target, ast.Name) and (found := constant(value, known)) is not None:
        known[target.id] = found


def _composed(node: ast.expr) -> tuple[str, list[ast.expr]]:
    """Parts of which a text or a path is made, and what stands between them."""
    if isinstance(node, ast.JoinedStr):
        return "", node.values
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Div)):
        return "" if isinstance(node.op, ast.Add) else "/", [node.left, node.right]
    if not isinstance(node, ast.Call) or node.keywords:
        return "", []
    if called(node) == "joinpath" and isinstance(node.func, ast.Attribute):
        return "/", [node.func.value, *node.args]
    is_path = called(node) in _PATHS or (called(node) == "join" and len(node.args) > 1)
    return "/", node.args if is_path else []


def _text(node: ast.Call, known: Known) -> str | None:
    """The value of `str(…)`, `….zfill(…)` and `"…".format(…)`."""
    values = [constant(one, known) for one in node.args]
    if called(node) == "str":
        return _formatted(values[0], "") if len(values) == 1 and isinstance(values[0], (int, str)) else None
    before = constant(node.func.value, known) if isinstance(node.func, ast.Attribute) else None
    if not isinstance(before, str):
        return None
    if called(node) == "zfill":
        width = values[0] if values else None
        return _short(before.zfill(width)) if isinstance(width, int) and width <= _LONGEST else None
    named = {one.arg: constant(one.value, known) for one in node.keywords}
    text, numbered = "", iter(values)
    try:
        for literal, name, spec, _ in string.Formatter().parse(before):
            found = next(numbered, None) if name == "" else named.get(name)
            part = "" if name is None else _formatted(found, spec)
            if part is None:
                return None
            text += literal + part
    except ValueError:
        return None
    return _short(text)


def _short(text: str) -> str | None:
    return text if len(text) <= _LONGEST else None


def _formatted(value: object, spec: object) -> str | None:
    if value is None or not isinstance(spec, str) or len(spec) > _MOST_DIGITS or spec.strip("0123456789dfs."):
        return None
    try:
        return format(value, spec)
    except (TypeError, ValueError):
        return None
