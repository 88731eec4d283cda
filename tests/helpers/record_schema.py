"""JSON Schema of a record, generated from its types: `make schema` rewrites `esr/records/record.schema.json`."""

import ast
import inspect
import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from esr.config import cards
from esr.records import document, network, telemetry
from esr.system import files

FILE = Path(document.__file__).with_name("record.schema.json")
_RAW_PARTS = (document.Image, network.WarmUp, network.Samples, network.Block, telemetry.Window)
"""Item types of the raw parts, which msgspec does not see."""
_TYPES = vars(cards) | vars(network) | vars(telemetry) | vars(document)


@cache
def record_schema() -> dict[str, Any]:
    """Schema of a record as `esr` writes it, descriptions included."""
    _, parts = msgspec.json.schema_components((document.Document, *_RAW_PARTS))
    for name, part in parts.items():
        _complete(part, _TYPES[name])
    whole = parts.pop("Document") | {"title": f"esr record, version {document.VERSION}"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole, "$defs": parts}


def text() -> str:
    """Content of `record.schema.json`."""
    return json.dumps(record_schema(), ensure_ascii=False, indent=1).replace("`None`", "null") + "\n"


def _complete(part: dict[str, Any], kind: type[msgspec.Struct]) -> None:
    """Adds the fields' descriptions; a field with a default is required, too, as it is always written."""
    part["description"] = " ".join(part["description"].split())
    for name, description in _field_docstrings(kind).items():
        part["properties"][name]["description"] = description
    if not kind.__struct_config__.omit_defaults:
        part["required"] = list(part["properties"])
        for field in part["properties"].values():
            field.pop("default", None)


def _field_docstrings(kind: type[msgspec.Struct]) -> dict[str, str]:
    """Docstrings below a struct's fields, inherited ones included: they exist in the source only."""
    found = {}
    for base in (base for base in reversed(kind.__mro__) if base.__module__.startswith("esr.")):
        (source,) = ast.parse(inspect.getsource(base)).body
        for pair in pairwise(ast.iter_child_nodes(source)):
            match pair:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                    found[name] = " ".join(words.split())
    return found


if __name__ == "__main__":
    files.replace(FILE, text().encode())
