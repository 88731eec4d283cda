"""Folders of a multirun, named after the configuration, so that the same command finds its own records."""

import contextlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from esr.config.digest import EXECUTION_KEYS, digest, relevant
from esr.config.schema import NETWORK_GROUPS, ModelConf
from esr.system.files import exclusive, expanded

MULTIRUN, LATEST = "multirun", "latest"
"""Folder of all multiruns in `conf/config.yaml`, and in it a link to the one that ran last."""
_HYDRAS = frozenset({".hydra", "esr.log"})
"""What Hydra writes before an evaluation begins."""
_OF_THE_CANDIDATE = ("model", "model_submission", "weights")
_WEIGHTS = ("weights", "baseline_weights")
_DIGITS = 8
"""Hexadecimal digits in a folder's name: enough for the few configurations that lie side by side."""


def register() -> None:
    """Lets `conf/config.yaml` name a multirun's folder, `${esr.sweep:}`, and a network's below it, `${esr.job:}`."""
    OmegaConf.register_new_resolver("esr.run", run_folder, replace=True, use_cache=True)
    OmegaConf.register_new_resolver("esr.expanded", os.path.expanduser, replace=True)
    OmegaConf.register_new_resolver("esr.sweep", sweep_folder, replace=True)
    OmegaConf.register_new_resolver("esr.job", job_folder, replace=True)


def run_folder(out: str, day: str, time: str) -> str:
    """Folder of one evaluation, which no other run is given: `OUT/outputs/DAY/TIME`, numbered where that is taken."""
    return str(exclusive(expanded(out) / "outputs" / day / time))


def forget(folder: Path) -> None:
    """Removes the folder of an evaluation that never began, unless somebody else's files lie in it."""
    with contextlib.suppress(OSError):
        if {one.name for one in folder.iterdir()} <= _HYDRAS:
            shutil.rmtree(folder)
            for parent in folder.parents[:2]:  # of that day
                parent.rmdir()


def sweep_folder(*, _root_: DictConfig) -> str:
    """Folder of all networks that are measured alike, and so can stand in one table."""
    config = {key: value for key, value in _plain(_root_).items() if key not in _OF_THE_CANDIDATE}
    return folder_name(str(config["data"].get("name")), config)


def job_folder(*, _root_: DictConfig) -> str:
    """Folder of one submission: two networks of one name lie apart if their YAML, team, code or weights do."""
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
    """What tells measurements apart: the configuration, and who submitted the networks.

    Paths count as seen from the results, so that a command means the same in every folder, and finds its records in a
    project that was moved as a whole.
    """
    out = expanded(str(_resolved(root.get("out", ".")))).resolve()
    keys = [key for key in map(str, root) if key not in EXECUTION_KEYS and not OmegaConf.is_missing(root, key)]
    config = {key: _resolved(root[key]) for key in keys}
    apart = {f"{group}_submission": _submission(config[group], out) for group in NETWORK_GROUPS if group in config}
    paths = {key: _from(out, config[key]) for key in _WEIGHTS if key in config}
    if (data := config.get("data")) and data.get("root"):
        paths["data"] = {**data, "root": _from(out, data["root"])}
    return {**relevant({**config, **paths}), **{key: value for key, value in apart.items() if any(value)}}


def _submission(model: Mapping[str, Any], out: Path) -> tuple[object, ...]:
    """Team and place of a network; of esr's own networks, which have one place only, nothing."""
    from esr.zoo.own_code import OWN, target_file  # noqa: PLC0415 - `--cfg job` names no folder

    target = str(model.get("_target_", ""))
    if target.startswith(f"{OWN}."):
        return ()
    place = model.get("source") or target_file(ModelConf(_target_=target))
    return model.get("team"), model.get("team_id"), place and os.path.relpath(Path(place).resolve(), out)


def _from(out: Path, path: object) -> object:
    """A path as seen from the results' folder; a choice, as `auto`, stays as it is."""
    from esr.zoo.weights import CHOICES  # noqa: PLC0415 - see `_submission`

    if not isinstance(path, str) or path in CHOICES:
        return path
    return os.path.relpath(expanded(path).absolute(), out)


def _resolved(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
