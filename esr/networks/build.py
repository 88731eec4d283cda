"""Builds a network from its configuration and loads its weights."""

import inspect
import pkgutil
import sys
from pathlib import Path

from torch import nn

from esr.config.cards import card_of_model
from esr.config.schema import ModelConf
from esr.errors import NetworkError
from esr.networks.state_dicts import load_weights, random_weights
from esr.records.network import Weights
from esr.text import described


def build(model: ModelConf) -> nn.Module:
    """A frozen network in eval mode, with its constructor's weights.

    A participant's class is looked up in its YAML's folder and in the working directory before installed packages.

    Raises:
        NetworkError: The class cannot be imported or constructed, or is not a torch module.
    """
    key = f"_target_={model._target_}"
    for folder in (Path.cwd(), Path(model.source).parent if model.source else None):
        if folder is not None and str(folder) not in sys.path and not model._target_.startswith("esr."):
            sys.path.insert(0, str(folder))
    try:
        factory = pkgutil.resolve_name(model._target_)
    except Exception as error:
        places = "the YAML's folder, the working directory and installed packages"
        raise NetworkError(f"{key}: cannot be imported ({described(error)}); looked up in {places}") from error
    if not callable(factory):
        raise NetworkError(f"{key}: is a {type(factory).__name__}, expected a torch.nn.Module class")
    try:
        network = factory(**model.args)
    except Exception as error:
        accepted = ", ".join(inspect.signature(factory).parameters) if inspect.isclass(factory) else "..."
        given = f"{dict(model.args)}; it takes ({accepted})"
        raise NetworkError(f"{key}: cannot be built with args {given} ({described(error)})") from error
    if not isinstance(network, nn.Module):
        raise NetworkError(f"{key}: gave a {type(network).__name__}, expected a torch.nn.Module")
    return network.eval().requires_grad_(False)


def load(network: nn.Module, model: ModelConf, weights: Weights, seed: int = 0, content: bytes | None = None) -> None:
    """Loads weights into a network, and attaches its `card` and `tile`.

    Args:
        network: From `build`.
        model: Its configuration.
        weights: The file that was chosen; without a path, random weights.
        seed: Of random weights.
        content: The file's bytes, where they have been read already.

    Raises:
        WeightsError: The file is damaged, hostile, or of another network.
        ConfigError: The checkpoint's tables are invalid.
    """
    if weights.path is None:
        random_weights(network, seed)
    else:
        load_weights(network, Path(weights.path), model.checkpoint, content)
    network.card = card_of_model(model)  # type: ignore[assignment]
    network.tile = model.tile  # type: ignore[assignment]
