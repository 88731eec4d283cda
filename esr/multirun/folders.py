"""Folders of a multirun, named after the configuration, so that the same command finds its own records."""

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from esr.config.digest import EXECUTION_KEYS, digest, relevant

MULTIRUN, LATEST = "multirun", "latest"
"""Folder of all multiruns in `conf/config.yaml`, and in it a link to the one that ran last."""
_DIGITS = 8
"""Hexadecimal digits in a folder's name: enough for the few configurations that lie side by side."""


def register() -> None:
    """Lets `conf/config.yaml` name a multirun's folder, `${esr.sweep:}`, and a network's below it, `${esr.job:}`."""
    OmegaConf.register_new_resolver("esr.sweep", sweep_folder, replace=True)
    OmegaConf.register_new_resolver("esr.job", job_folder, replace=True)


def sweep_folder(*, _root_: DictConfig) -> str:
    """Folder of all networks that are measured alike, and so can stand in one table."""
    config = {key: value for key, value in _plain(_root_).items() if key != "model"}
    return folder_name(str(config["data"].get("name")), config)


def job_folder(*, _root_: DictConfig) -> str:
    """Folder of one network."""
    config = _plain(_root_)
    target = str(config["model"].get("_target_", "none"))
    return folder_name(str(config["model"].get("name") or target.rpartition(".")[2]), config)


def folder_name(word: str, config: Mapping[str, Any]) -> str:
    """A word and the configuration's digest; no word, which a participant may choose, leads out of the folder."""
    return f"{re.sub(r'[^A-Za-z0-9_-]+', '_', word)[:60]}-{digest(config)[:_DIGITS]}"


def link_latest(folder: Path) -> None:
    """Points `multirun/latest` at a multirun's folder."""
    if folder.parent.name != MULTIRUN:
        return
    link = folder.with_name(f".{LATEST}-{os.getpid()}")
    with contextlib.suppress(OSError):  # a convenience, which not every file system offers
        link.symlink_to(folder.name, target_is_directory=True)
        link.replace(folder.with_name(LATEST))


def _plain(root: DictConfig) -> Mapping[str, Any]:
    keys = [key for key in map(str, root) if key not in EXECUTION_KEYS and not OmegaConf.is_missing(root, key)]
    return relevant({key: _resolved(root[key]) for key in keys})


def _resolved(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
