"""Words as people type them, made what Hydra's grammar reads: paths with any characters, ranges of CPUs."""

import re
import shlex
from collections.abc import Sequence
from functools import cache

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from esr.errors import ConfigError

_PATHS = {
    *("data.root", "data.hr", "data.lr", "weights", "baseline_weights", "out", "repo"),
    *("data_root", "validate_root", "init", "model.requirements", "baseline.requirements"),
}
"""Keys whose values are paths."""
_YAMLS = {"model", "baseline"}
"""Groups whose values may be paths of YAML files."""
_CPUS = "device.cpus"
_MOST_CPUS = 65_536
_RANGES = re.compile(r"\s*\d{1,20}\s*(?:-\s*\d{1,20}\s*)?(?:,\s*\d{1,20}\s*(?:-\s*\d{1,20}\s*)?)*")


_SPECIAL = re.compile(r'["$`\\!]')
"""Characters that a shell reads within double quotes."""


def readable(words: Sequence[str], *, several: bool = False) -> list[str]:
    """Overrides with quotes around the paths that need them, and with lists of CPUs written out.

    Args:
        words: As on the command line.
        several: True with `-m`, where a comma separates the choices of a sweep.
    """
    return [_readable(word, several=several) for word in words]


def _readable(word: str, *, several: bool) -> str:
    key, equals, value = word.partition("=")
    name = key.lstrip("+")
    if equals and name == _CPUS:
        return f"{key}={_cpus(value, several=several)}"
    if not value or not (name in _PATHS or (name in _YAMLS and value.endswith((".yaml", ".yml")))):
        return word
    if _parses(word, several=several):
        return word
    parts = value.split(",") if several else [value]
    return f"{key}={','.join(part if _parses(f'{key}={part}', several=False) else quoted(part) for part in parts)}"


def _cpus(value: str, *, several: bool = False) -> str:
    """`0-3,8` or `[0-3,8]` as `[0,1,2,3,8]`, in a sweep each of its choices; `null`, `[]` and functions as they are.

    Raises:
        ConfigError: It is anything else.
    """
    if value.strip() in ("null", "[]") or re.search(r"\(|\$\{", value):
        return value
    if several and len(choices := re.findall(r"\[[^\]]*\]|[^,\[\]]+", value)) > 1:
        return ",".join(map(_cpus, choices))
    inner = value.strip().strip("'\"").removeprefix("[").removesuffix("]")
    if not _RANGES.fullmatch(inner):
        raise ConfigError(f"{_CPUS}={value}: expected numbers of CPUs, as 0-3 or 0,2,5-7")
    found: list[int] = []
    for part in inner.split(","):
        low, _, high = part.partition("-")
        first, last = int(low), int(high or low)
        if last < first or last >= _MOST_CPUS:
            raise ConfigError(f"{_CPUS}={value}: {part.strip()} must be a CPU or a range of them, as 0-3")
        found += range(first, last + 1)
    return f"[{','.join(map(str, found))}]"


def quoted(text: str) -> str:
    r"""A text as a quoted value of Hydra's grammar.

    >>> print(quoted("it's"))
    'it\'s'
    """
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    if trailing := len(escaped) - len(escaped.rstrip("\\")):
        escaped += "\\" * trailing  # else the last one would escape the closing mark
    return f"'{escaped}'"


def unquoted(value: str) -> str:
    r"""The text of a value, quoted or not.

    >>> print(unquoted(quoted("it's")), unquoted("plain"))
    it's plain
    """
    try:
        return str(_parser().parse_override(f"key={value}").value())
    except HydraException:
        return value.strip()


def typed_words(word: str) -> str:
    """The exact words to type in a shell for an override that does not parse; empty where quotes do not help.

    >>> print(typed_words("model.args.x=a(b)"))
    "model.args.x='a(b)'"
    >>> print(typed_words("model.checkpoint.drop=[^a(b, c)$]"))
    'model.checkpoint.drop=['"'"'^a(b'"'"','"'"'c)$'"'"']'
    """
    key, equals, value = word.partition("=")
    if value.startswith("{"):
        return ""  # Hydra's mappings have no quotes around their keys
    is_list = value.startswith("[") and value.endswith("]")
    inner = ",".join(quoted(part.strip().strip("'\"")) for part in value[1:-1].split(","))
    better = f"{key}=[{inner}]" if is_list else f"{key}={quoted(value)}"
    if not (equals and key and _parses(better, several=False)):
        return ""
    return shlex.quote(better) if _SPECIAL.search(better) else f'"{better}"'


def _parses(word: str, *, several: bool) -> bool:
    try:
        parsed = _parser().parse_override(word)
    except HydraException:
        return False
    return several or not parsed.is_sweep_override()


@cache
def _parser() -> OverridesParser:
    return OverridesParser.create()
