"""Configuration keys explained: meaning, unit, type, default and valid values, all from the schema itself."""

import ast
import dataclasses
import inspect
import itertools
import textwrap
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import msgspec
from omegaconf import MISSING, OmegaConf

import esr.conf
from esr.config.cards import OPTION_GROUPS
from esr.config.digest import leaves
from esr.config.mistakes import nearest_key
from esr.config.schema import CHOICES, LEAST, MOST, RANGES, EsrConf
from esr.errors import ConfigError

_SAME_AS = {"baseline": "model"}
"""Group -> the one that has the same keys."""


class Key(msgspec.Struct, frozen=True):
    """One key of the configuration."""

    name: str
    """Dotted."""
    kind: str
    """Its type, as `int or null`."""
    default: object
    """Of the composed configuration; `None` is `null`."""
    meaning: str
    """One or two sentences, with the unit."""
    allowed: str = ""
    """Valid values; empty where the type says all."""


class Option(msgspec.Struct, frozen=True):
    """One choice of a group, as `timing=quick`."""

    name: str
    meaning: str


def explained(word: str) -> tuple[list[Key], list[Option]]:
    """A key, or every key below a group and the group's options.

    Args:
        word: A dotted key, a group, or nothing for all.

    Raises:
        ConfigError: There is no such key.
    """
    known = keys(EsrConf)
    head, _, rest = word.partition(".")
    same = _SAME_AS.get(head)
    asked = ".".join(filter(None, (same or head, rest)))
    found = [key for key in known if not asked or key.name == asked or key.name.startswith(f"{asked}.")]
    if not found:
        raise ConfigError(nearest_key(word, [key.name for key in known]))
    if same:
        found = [msgspec.structs.replace(key, name=head + key.name.removeprefix(same)) for key in found]
    return found, options(word) if word in OPTION_GROUPS else []


def options(group: str) -> list[Option]:
    """A group's options, each with the first sentence of its file."""
    folder = Path(esr.conf.__file__).parent / group
    return [Option(file.stem, _comment(file)) for file in sorted(folder.glob("*.yaml"))]


def keys(schema: type, recipe: Mapping[str, object] | None = None) -> list[Key]:
    """Every key of a schema, in its order, without those of `baseline`, which are the same as `model`'s.

    Args:
        schema: `EsrConf` or another dataclass of dataclasses.
        recipe: Values that stand in for the dataclass's defaults; `None`: those of an evaluation without overrides.
    """
    defaults = _defaults() if recipe is None else dict(leaves(recipe))
    return [
        msgspec.structs.replace(key, default=defaults.get(key.name, key.default), allowed=_allowed(key.name))
        for key in _keys(schema, "")
        if not key.name.startswith("baseline.")
    ]


def _keys(schema: type, prefix: str) -> Iterator[Key]:
    hints = typing.get_type_hints(schema)
    meanings = _meanings(schema)
    for field in dataclasses.fields(schema):
        name, hint = f"{prefix}{field.name}", hints[field.name]
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            yield from _keys(hint, f"{name}.")
            continue
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        yield Key(name, _kind(hint), None if default == MISSING else default, meanings.get(field.name, ""))


@cache
def _meanings(schema: type) -> Mapping[str, str]:
    """Field -> the text below it in the source."""
    (body,) = (
        node.body
        for node in ast.parse(textwrap.dedent(inspect.getsource(schema))).body
        if isinstance(node, ast.ClassDef)
    )
    found = {}
    for one, after in itertools.pairwise(body):
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(after, ast.Expr):
            found[one.target.id] = " ".join(str(ast.literal_eval(after.value)).split()).replace("`None`", "`null`")
    return found


def _kind(hint: object) -> str:
    arguments = typing.get_args(hint)
    if type(None) in arguments:
        (inner,) = (one for one in arguments if one is not type(None))
        return f"{_kind(inner)} or null"
    origin = typing.get_origin(hint)
    if origin is list:
        return f"list of {_kind(arguments[0])}"
    if origin is dict:
        return "mapping"
    return hint.__name__ if isinstance(hint, type) else "any value"


def _allowed(name: str) -> str:
    if name in CHOICES:
        return ", ".join(CHOICES[name])
    said = [wording for names, _, wording in RANGES if name in names]
    said += [f"at least {LEAST[name]:g}"] if name in LEAST else []
    said += [f"at most {MOST[name]:,.10g}"] if name in MOST else []
    return ", ".join(said)


def _defaults() -> Mapping[str, object]:
    """The values of a configuration without overrides, by dotted key."""
    from esr.config.compose import compose_unchecked  # noqa: PLC0415 - imports this room's other half

    composed = OmegaConf.to_container(compose_unchecked("config", []), resolve=False, throw_on_missing=False)
    found = leaves(composed)
    return {name: "$ESR_OUT, else ." if name == "out" else value for name, value in found if value != MISSING}


def _comment(file: Path) -> str:
    """The first sentence of a YAML's comment."""
    lines: Sequence[str] = file.read_text(encoding="utf-8").splitlines()
    said = " ".join(line.lstrip("# ") for line in lines if line.startswith("#") and "@package" not in line)
    return said.partition(". ")[0].rstrip(".")
