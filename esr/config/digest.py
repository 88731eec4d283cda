"""Configurations as plain data: their values by dotted key, and a digest of those that determine the figures."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

EXECUTION_KEYS = ("out", "lock", "force", "hydra", "repo", "id", "baseline_id")
"""Keys that determine where and when is measured, and no figure; a repository's stand in the networks themselves."""
CARD_KEYS = ("title", "team", "team_id", "paper", "note", "published", "claims", "source")
"""Keys of a network that no figure depends on; `source` names its YAML, whose other keys are compared themselves."""


def leaves(plain: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every value in nested mappings with its dotted key; an empty mapping is a value.

    >>> dict(leaves({"model": {"args": {"channels": 48}, "drop": {}}}))
    {'model.args.channels': 48, 'model.drop': {}}
    """
    if isinstance(plain, Mapping) and plain:
        for key, inner in plain.items():
            yield from leaves(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, plain


def digest(plain: Any) -> str:
    """sha256 of plain data, independent of the order of keys."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()


def relevant(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """A configuration, as plain data, without the keys that no figure depends on."""
    kept = {key: value for key, value in config.items() if key not in EXECUTION_KEYS}
    for group in ("model", "baseline"):
        if group in kept:
            kept[group] = {key: value for key, value in kept[group].items() if key not in CARD_KEYS}
    return kept
