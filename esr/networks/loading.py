"""A network built, loaded and moved to its device, with what it did meanwhile; all start from the same state."""

import dataclasses
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from esr.config.cards import RECOGNISED
from esr.config.schema import ModelConf
from esr.networks import build, devices, padding, recognised, watching
from esr.networks.repository import script
from esr.networks.state_dicts import random_weights
from esr.records.network import Loading, OpenedFile, SettingValue, Weights

_RESET = ("benchmark", "deterministic", "allow_tf32")
"""Switches that are set again after loading; threads, CPUs and priority are not, and taint a record."""
_MOST = 1000
"""Names of each kind that are reported."""


class Loaded(NamedTuple):
    """A network on its device."""

    network: nn.Module
    model: ModelConf
    """With the range of values and the tile that a repository's script states."""
    findings: Loading


def load(
    model: ModelConf,
    weights: Weights,
    seed: int,
    device: torch.device,
    settings: Mapping[str, SettingValue],
    content: bytes | None = None,
) -> Loaded:
    """Builds a network and moves it to the device.

    Passes, opened files and the way of loading are noted; random state and the switches of cuDNN are as before.

    Args:
        model: Its configuration.
        weights: Chosen by the parent; a repository's script loads its own unless they are random.
        seed: Of random weights, and of random state before and after.
        device: Receives the network.
        settings: From `devices.read_settings`, before the network was loaded.
        content: Bytes of the weight file, unless a repository's script reads it.

    Raises:
        NetworkError: It cannot be built.
        WeightsError: The weights do not fit.
    """
    seed_generators(seed)
    used: tuple[str, ...] = ()
    with watching.watched() as seen:
        if model._target_ == RECOGNISED:
            network = recognised.load(weights, content)
            padding.pad_on_failure(network)
        elif model.repository.root is None:
            network = build.build(model)
            build.load(network, model, weights, seed, content)
        else:
            selected = script.select(model.repository, device, random=weights.source == "random")
            network, used = selected.network, selected.stand_ins
            tile = dataclasses.replace(model.tile, size=model.tile.size or selected.tile)
            model = dataclasses.replace(model, data_range=selected.data_range, tile=tile)
            if weights.source == "random":
                random_weights(network, seed)
            padding.pad_on_failure(network)
        if any(one.device != device for one in (*network.parameters(), *network.buffers())):
            network.to(device)  # once: a network may make passes in it
    changed = _reset(settings)
    seed_generators(seed)
    return Loaded(network, model, _findings(model, network, seen, changed, used))


def _findings(
    model: ModelConf,
    network: nn.Module,
    seen: watching.Watched,
    changed: Mapping[str, SettingValue],
    used: tuple[str, ...],
) -> Loading:
    own = model.repository.root is not None  # else the strict loading is ours
    return Loading(
        data_range=model.data_range,
        tile=model.tile.size,
        passes=seen.passes(network),
        settings_reset=dict(changed),
        strict=seen.strict if own else None,
        missing=tuple(seen.missing[:_MOST]) if own else (),
        unexpected=tuple(seen.unexpected[:_MOST]) if own else (),
        stand_ins=used,
        # Without temporary ones, which are gone.
        files=tuple(OpenedFile(_shown(path, model), None) for path in [*filter(os.path.isfile, seen.opened)][:_MOST]),
    )


def _shown(path: str, model: ModelConf) -> str:
    root = model.repository.root
    return str(Path(path).relative_to(root)) if root and Path(path).is_relative_to(root) else path


def _reset(settings: Mapping[str, SettingValue]) -> dict[str, SettingValue]:
    """Sets the switches as they were; those that the network had changed."""
    now = devices.read_settings()
    changed = {name: now[name] for name in _RESET if now[name] != settings[name]}
    if changed:
        devices.apply_switches(**{name: bool(settings[name]) for name in _RESET})
    torch.set_default_dtype(torch.float32)
    return changed


def seed_generators(seed: int) -> None:
    """Seeds every generator that a network may draw from."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the state that networks use
    torch.manual_seed(seed)
