"""Builds a network from its configuration and loads its weights."""

import inspect
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from esr.config.cards import card_of_model, is_as_shipped
from esr.config.class_path import check_class_path, methods
from esr.config.schema import ModelConf
from esr.errors import NetworkError
from esr.networks.classes import factory, strangers_code
from esr.networks.facts import Facts, remember
from esr.networks.state_dicts import load_weights, random_weights
from esr.records.network import Weights
from esr.text import did_you_mean

_LAZY_SIDE = 64
"""Pixels."""


def build(model: ModelConf) -> nn.Module:
    """A frozen network in eval mode, with its constructor's weights.

    A participant's class is looked up in its YAML's folder and in the working directory before installed packages.

    Raises:
        ConfigError: `_target_` is no class path.
        NetworkError: The class cannot be imported or constructed, or is not a torch module.
    """
    check_class_path(model._target_, "_target_")
    key = f"_target_={model._target_}"
    for folder in (Path.cwd(), Path(model.source).parent if model.source else None):
        if folder is not None and str(folder) not in sys.path and not model._target_.startswith("esr."):
            sys.path.insert(0, str(folder))
    make = factory(model._target_)
    given = f"{dict(model.args)}; it takes ({_parameters(make)})"
    with strangers_code(f"{key}: cannot be built with args {given}"):
        network = make(**model.args)
    if not isinstance(network, nn.Module):
        raise NetworkError(f"{key}: gave a {type(network).__name__}, expected a torch.nn.Module")
    _materialise(network, key)
    return frozen(network)


def _materialise(network: nn.Module, key: str) -> None:
    """Runs one pass over zeros through a network with parameters whose shape it learns from its first input.

    Raises:
        NetworkError: It fails.
    """
    if not any(is_lazy(one) for one in (*network.parameters(), *network.buffers())):
        return
    network.eval()
    with strangers_code(f"{key}: lazy parameters need a pass, which fails on 1×3×{_LAZY_SIDE}×{_LAZY_SIDE}"):
        torch.no_grad()(network)(torch.zeros(1, 3, _LAZY_SIDE, _LAZY_SIDE))


def load(
    network: nn.Module, model: ModelConf, weights: Weights, seed: int = 0, content: bytes | None = None
) -> nn.Module:
    """Loads weights into a network, and calls the methods that `after_load` names.

    Args:
        network: From `build`.
        model: Its configuration.
        weights: The file that was chosen; without a path, random weights.
        seed: Of random weights.
        content: The file's bytes, where they have been read already.

    Returns:
        The network, or the one that its last method returned.

    Raises:
        WeightsError: The file is damaged, hostile, or of another network.
        ConfigError: The checkpoint's tables are invalid.
        NetworkError: A method is missing or fails.
    """
    if weights.path is None:
        random_weights(network, seed)
    else:
        # A bundled or converted file need not have the key and the prefix of the published one.
        required = weights.source == "published" or not is_as_shipped(model)
        load_weights(network, Path(weights.path), model.checkpoint, content, required=required)
    network = finish(network, model)
    remember(network, Facts(card_of_model(model), model.tile))
    return network


def finish(network: nn.Module, model: ModelConf) -> nn.Module:
    """Calls the methods that `after_load` names, as those that fuse re-parameterisable blocks.

    A method that the network itself lacks is called on each of its modules that has it.

    Returns:
        The network, or the one that its last method returned; frozen, in eval mode.

    Raises:
        NetworkError: No module has the method, or it fails.
    """
    for name in methods(model.after_load):
        network = _call(network, name)
    return frozen(network)


def _call(network: nn.Module, name: str) -> nn.Module:
    path, _, method = name.rpartition(".")
    key = f"after_load={name}"
    try:
        start = network.get_submodule(path)
    except AttributeError as error:
        raise NetworkError(f"{key}: {type(network).__name__} has no module {path}") from error
    owners = [start] if callable(getattr(start, method, None)) else []
    owners = owners or [module for module in start.modules() if callable(getattr(module, method, None))]
    if not owners:
        own = {name for module in start.modules() for name in set(dir(type(module))) - set(dir(nn.Module))}
        known = [name for name in own if not name.startswith("_")]
        fault = f"no module of {type(network).__name__} has this method"
        raise NetworkError(f"{key}: {fault}; {did_you_mean(method, known)}")
    for owner in owners:
        with strangers_code(f"{key}: it is called without arguments, and fails"):
            returned = getattr(owner, method)()
        if owner is network and isinstance(returned, nn.Module):
            return returned
    return network


def frozen(network: nn.Module) -> nn.Module:
    """The network in eval mode, without gradients."""
    # Not chained: a network's own `train`, which `eval` calls, may return nothing.
    network.eval()
    nn.Module.requires_grad_(network, False)  # which a scripted module refuses to do itself
    return network


def _parameters(make: object) -> str:
    try:
        return ", ".join(inspect.signature(make).parameters) if callable(make) else "…"
    except (TypeError, ValueError):  # written in C, or with a signature that lies
        return "…"
