"""JSON Schema of a record, generated from its types: `python -m esr.records.schema` rewrites `record.schema.json`."""

import ast
import inspect
import json
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from esr.records.document import VERSION, Document, Image
from esr.records.network import Block, Samples, WarmUp
from esr.records.telemetry import Window
from esr.system import files

FILE = Path(__file__).with_name("record.schema.json")
_ROOTS = (Document, Image, WarmUp, Samples, Block, Window)
"""The document, and the item types of its raw parts, which msgspec does not see."""

_MODULES = {
    f"esr.{name}" for name in ("config.cards", "records.document", "records.network", "records.telemetry")
}


def record_schema() -> dict[str, Any]:
    """Schema of a record as `esr` writes it, descriptions included."""
    _, parts = msgspec.json.schema_components(_ROOTS)
    types = {kind.__name__: kind for kind in _subclasses(msgspec.Struct) if kind.__module__ in _MODULES}
    for name, part in parts.items():
        _complete(part, types[name])
    document = parts.pop("Document")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **document,
        "title": f"esr record, version {VERSION}",
        "$defs": dict(sorted(parts.items())),
    }


def text() -> str:
    """Content of `record.schema.json`."""
    return json.dumps(record_schema(), ensure_ascii=False, indent=1).replace("`None`", "null") + "\n"


def _subclasses(kind: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    direct: list[type[msgspec.Struct]] = kind.__subclasses__()
    return [*direct, *(deeper for one in direct for deeper in _subclasses(one))]


def _complete(part: dict[str, Any], kind: type[msgspec.Struct]) -> None:
    """Adds the fields' descriptions; a field with a default is required, too, as it is always written."""
    part["description"] = " ".join(part["description"].split())
    for name, description in _field_docstrings(kind).items():
        if name in part["properties"]:
            part["properties"][name]["description"] = description
    if not kind.__struct_config__.omit_defaults:
        part["required"] = list(part["properties"])
        for field in part["properties"].values():
            field.pop("default", None)


@cache
def _field_docstrings(kind: type) -> dict[str, str]:
    """Docstrings below a struct's fields, inherited ones included: they exist in the source only."""
    found = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("esr."):
            body = _class_bodies(base.__module__)[base.__name__]
            for field, text_below in pairwise(body):
                match field, text_below:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                        value=ast.Constant(value=str(words))
                    ):
                        found[name] = " ".join(words.split())
    return found


@cache
def _class_bodies(module: str) -> dict[str, list[ast.stmt]]:
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: node.body for node in tree.body if isinstance(node, ast.ClassDef)}


if __name__ == "__main__":
    files.replace(FILE, text().encode())
