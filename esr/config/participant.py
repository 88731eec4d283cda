"""A network's YAML, read and checked; a participant's gets its name and path filled in."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from esr.config.cards import card_of_model, folder
from esr.config.class_path import check_class_path, methods
from esr.config.mistakes import all_keys, first_line
from esr.config.schema import EsrConf, ModelConf, check_values
from esr.config.yaml_files import read_yaml, reason
from esr.errors import ConfigError
from esr.text import did_you_mean, escaped, one_line, shown_path

_KINDS = {
    **dict.fromkeys(("args", "tile", "checkpoint", "published", "checkpoint.rename"), dict),
    "checkpoint.drop": list,
}
"""Key -> the kind of its value."""
SEE = "see docs/own-network.md"
BUILT = "ESR_BUILT"
"""Variable of the environment, in an image made for a submission: its folder whose operator was compiled there."""


def read_network(file: Path) -> DictConfig:
    """A network's YAML as a mapping.

    Args:
        file: The YAML; a participant's becomes its `source`.

    Raises:
        ConfigError: It cannot be read, is not UTF-8 or not valid YAML, is larger or deeper than any network's, or of
            a participant's a key is unknown or a value has the wrong type.
    """
    shown = shown_path(file)
    config = read_yaml(file, OmegaConf.create, shown, SEE)
    if not isinstance(config, DictConfig) or not config:
        raise ConfigError(f"{shown}: no keys found, expected at least _target_; {SEE}")
    if file.parent in (folder(), folder().with_name("repository")):
        return config
    _check(config, shown)
    return DictConfig({"name": file.stem, "source": str(file.resolve()), **config})


def _check(config: DictConfig, shown: str) -> None:
    for key in ("defaults", "hydra"):
        if key in config:
            raise ConfigError(f"{shown}: {key}: is Hydra's, not a network's; leave it out and write out the keys")
    if "build" in config and str(built := config.pop("build")) != os.environ.get(BUILT):
        remedy = "make an image of its own with it (make image-submission), or name a wheel of it in `requirements`"
        where = "docs/challenge-repositories.md"
        raise ConfigError(f"{shown}: build: {escaped(str(built))}: nothing is compiled here; {remedy}; see {where}")
    try:
        model = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(ModelConf(_target_="")), config))
    except OmegaConfBaseException as error:
        if misplaced := _misplaced(config):
            raise ConfigError(f"{shown}: {misplaced}; {SEE}") from error
        key = str(error.full_key or error.key)
        unknown = "not in" in str(error.msg)
        hint = did_you_mean(key, all_keys(OmegaConf.structured(ModelConf))) if unknown else SEE
        raise ConfigError(f"{shown}: {escaped(key)}: {one_line(first_line(error))}; {hint}") from error
    except Exception as error:  # as for a value that refers to itself
        raise ConfigError(f"{shown}: {reason(error)}; {SEE}") from error
    if isinstance(model, ModelConf):
        if OmegaConf.is_missing(config, "_target_") or "_target_" not in config:
            raise ConfigError(f"{shown}: _target_ is missing, the class as MODULE.CLASS; {SEE}")
        check_network(model, f"{shown}: ")


def check_settings(settings: EsrConf) -> None:
    """Checks what the types of a configuration cannot express: its values, and both networks.

    Raises:
        ConfigError: A value is out of range, or a network is wrong.
    """
    check_values(settings)
    check_network(settings.model, "model.")
    check_network(settings.baseline, "baseline.")


def check_network(model: ModelConf, where: str) -> None:
    """Checks what the types of a network's configuration cannot express.

    Args:
        model: A shipped network's or a participant's configuration.
        where: Start of an error's line, as `my.yaml: ` or `model.`.

    Raises:
        ConfigError: The class path, a method's name, a number or the card is wrong.
    """
    check_class_path(model._target_, f"{where}_target_")
    methods(model.after_load, f"{where}after_load")
    for path, value in _values(model.args, "args"):
        if fault := _unsendable(value):
            raise ConfigError(f"{where}{path}: {fault}; set it in the class's constructor instead")
    card_of_model(model, where)


def _values(value: object, path: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _values(inner, f"{path}.{escaped(str(key))}")
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _values(inner, f"{path}[{index}]")
    else:
        yield path, value


def _unsendable(value: object) -> str | None:
    """The reason why a value would not reach the worker as it is; `None` if it does."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {value}, must be finite"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return f"is an integer of {value.bit_length()} bits, at most 63 are passed on"
    if value is not None and not isinstance(value, bool | int | float | str):
        return f"is a {type(value).__name__}, expected a number, a text, true, false or null"
    return None


def _misplaced(config: DictConfig) -> str:
    """A line about a key whose value is of another kind than its mapping or list; empty where there is none."""
    plain: Any = OmegaConf.to_container(config, resolve=False)
    if isinstance(checkpoint := plain.get("checkpoint"), dict):
        plain |= {f"checkpoint.{key}": value for key, value in checkpoint.items()}
    for key, kind in _KINDS.items():
        if plain.get(key) is not None and not isinstance(plain[key], kind):
            name = key.rpartition(".")[2]
            example = f"{name}: {{KEY: VALUE}}" if kind is dict else f"{name}: ['PATTERN']"
            return f"{key}: must be a {'mapping' if kind is dict else 'list'}, as {example}"
    return ""
