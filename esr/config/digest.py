"""The part of a configuration that says what is measured, and the folders of a multirun that are named after it."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

_WHEREABOUTS = ("out", "lock", "force", "hydra")
"""Keys that say where and when, not what is measured."""
_CARD = ("title", "team", "team_id", "paper", "note", "published", "source")
"""Keys of a network that no figure depends on; `source` names its YAML, whose other keys are compared themselves."""
_DIGITS = 8
"""Hexadecimal digits in a folder's name: enough for the few configurations that lie side by side."""


def digest(plain: Any) -> str:
    """A sha256 of plain data; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()


def relevant(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration, as plain data, without what no figure depends on."""
    kept = {key: value for key, value in config.items() if key not in _WHEREABOUTS}
    for role in ("model", "baseline"):
        if role in kept:
            kept[role] = {key: value for key, value in kept[role].items() if key not in _CARD}
    return kept


def register() -> None:
    """Lets `conf/config.yaml` name a multirun's folders: `${esr.multirun.task:}` and, below it, `${esr.job:}`."""
    OmegaConf.register_new_resolver("esr.sweep", _sweep_folder, replace=True)
    OmegaConf.register_new_resolver("esr.job", _job_folder, replace=True)


def _sweep_folder(*, _root_: DictConfig) -> str:
    """The same for all networks that are measured alike, and so can stand in one table."""
    config = _plain(_root_)
    config.pop("model", None)
    return _name(str(config["data"].get("name")), config)


def _job_folder(*, _root_: DictConfig) -> str:
    config = _plain(_root_)
    target = str(config["model"].get("_target_", "none"))
    return _name(str(config["model"].get("name") or target.rpartition(".")[2]), config)


def _plain(root: DictConfig) -> dict[str, Any]:
    plain = {
        key: OmegaConf.to_container(root[key], resolve=True) if OmegaConf.is_config(root[key]) else root[key]
        for key in map(str, root)
        if key not in _WHEREABOUTS and not OmegaConf.is_missing(root, key)
    }
    return relevant(plain)


def _name(word: str, config: dict[str, Any]) -> str:
    # A participant chooses the word; it must not lead elsewhere.
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', word)[:60]}-{digest(config)[:_DIGITS]}"
