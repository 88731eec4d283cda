"""Errors of Hydra and OmegaConf as one line: the override, the reason, the nearest valid names."""

import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from esr.config.cards import OPTION_GROUPS
from esr.config.quoting import typed_words
from esr.config.schema import NETWORK_GROUPS, EsrConf
from esr.errors import ConfigError
from esr.text import did_you_mean

_PRECISIONS = ("amp", "autocast", "bf16", "bfloat16", "dtype", "float16", "fp16", "half", "precision", "quantize")
"""Last parts of unknown keys that ask for another type of number."""
_EXPECTED = {
    "could not be converted to Integer": "a whole number",
    "could not be converted to Float": "a number without a unit, as 0.5 or 1e-3",
    "is not a valid bool": "true or false",
}
"""End of OmegaConf's line -> what the key takes."""
_ONE_OF_EACH = (*NETWORK_GROUPS, *OPTION_GROUPS)
_GROUPS = (*_ONE_OF_EACH, "train", "challenge", "repository", "hydra")
_NUMBERS = {"device": "device.index", "timing": "timing.rounds"}
"""Group -> the key that is meant by a number."""

_NAME = re.compile(r"(?:[A-Za-z_][\w./-]*)?")
"""An option's name, or none, after which Hydra leaves a group out."""
_NO_NAME = re.compile(
    r"[+-]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(e[+-]?\d+)?|[+-]?(inf|nan)|true|false|null|\{.*", re.IGNORECASE
)
"""A number, a truth value, `null` or a mapping in Hydra's grammar, which has a traceback where it expects a name."""


@contextmanager
def in_one_line(overrides: Sequence[str]) -> Iterator[None]:
    """Turns Hydra's and OmegaConf's errors inside the block into a `ConfigError`."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, overrides) from error


def refuse_lists(overrides: Sequence[str]) -> None:
    """Refuses several options of a group, of which Hydra would take the last, and what can be no option's name.

    Raises:
        ConfigError: The line names the multirun that measures each, or the way to list the options.
    """
    for word in overrides:
        key, equals, value = word.partition("=")
        group = key.lstrip("+~").partition("@")[0]
        if equals and not group:
            raise ConfigError(f"{word}: expected KEY=VALUE; esr --help says more")
        left_out = key.startswith("~") and "." not in key and not _NAME.fullmatch(value)
        is_group = group in _GROUPS or "/" in group or "@" in key
        if left_out or (is_group and any(_NO_NAME.fullmatch(part.strip()) for part in value.split(","))):
            raise ConfigError(f"{word}: no such choice; {_for_number(group, value)}")
        if key == "data" and "/" in value and "(" not in value:
            raise ConfigError(f"{word}: no such set; a folder of images is {_folder(value)}")
        if key in _ONE_OF_EACH and value.startswith("["):
            joined = "; esr rank joins records of several data sets" if key == "data" else ""
            raise ConfigError(f"{word}: one at a time; esr -m {key}={value.strip('[]')} measures each{joined}")


def _for_number(group: str, value: str) -> str:
    """Words to type instead of a number where a group takes a name."""
    if group in _NUMBERS and value.isdigit():
        return f"type {_NUMBERS[group]}={value}"
    return f"esr --help lists those of {group}" + (", ./NAME.yaml is a file" if group in NETWORK_GROUPS else "")


def _folder(path: str) -> str:
    return f"data=folder {shlex.quote(f'data.root={path}')}"


def explain(error: Exception, overrides: Sequence[str]) -> ConfigError:
    """One line for any error of Hydra or OmegaConf."""
    if isinstance(error, MissingConfigException):
        return ConfigError(_unknown_choice(error))
    if isinstance(error, OverrideParseException):
        return ConfigError(_unreadable(str(error.override)))
    cause = error.__cause__ if isinstance(error, ConfigCompositionException) and error.__cause__ else error
    if isinstance(cause, OmegaConfBaseException):
        return ConfigError(_wrong_value(cause, overrides))
    line = " ".join(str(error).split())
    if line.startswith("Ambiguous value"):
        return ConfigError(next((_several(word) for word in overrides if f"'{word}'" in line), line))
    if line.startswith("Can only enumerate"):
        return ConfigError(f"{line}; a sweep takes choices or a range, as KEY=1,2,3 or KEY=range(1,4)")
    match = next((word for word in overrides if word and key_of(word) in line), None)
    return ConfigError(unknown_key(match) if match and "Could not override" in line else line)


def key_of(override: str) -> str:
    """The key of `KEY=VALUE`, without Hydra's signs for adding and deleting.

    >>> key_of("+model.args.channels=48")
    'model.args.channels'
    """
    return override.partition("=")[0].lstrip("+~")


def first_line(error: OmegaConfBaseException) -> str:
    """The message without the lines that OmegaConf adds."""
    text = str(error.msg or error)
    return text.splitlines()[0] if text else type(error).__name__


def all_keys(config: Any, prefix: str = "") -> list[str]:
    """Dotted names of every key of a configuration, groups included."""
    keys = []
    for key in config:
        keys.append(f"{prefix}{key}")
        if not OmegaConf.is_missing(config, key) and isinstance(config[key], DictConfig):
            keys += all_keys(config[key], f"{prefix}{key}.")
    return keys


@cache
def known_keys() -> tuple[str, ...]:
    """Dotted names of every key of an evaluation."""
    return tuple(all_keys(OmegaConf.structured(EsrConf)))


def _unreadable(override: str) -> str:
    """The line on an override outside of Hydra's grammar: the words to type instead."""
    key, equals, value = override.partition("=")
    if not equals or not key.strip("+~"):
        return f"{override}: expected KEY=VALUE; esr --help says more"
    if value.startswith("="):
        return f"{override}: two equals signs; type {shlex.quote(key + value)}"
    if len(parts := re.split(r"[ ,;]+(?=[A-Za-z][\w.]*=)", override)) > 1 and key_of(parts[1]) in known_keys():
        return f"{override}: several in one word; type {shlex.join(parts)}"
    if words := typed_words(override):
        return f"{override}: this value has to be in quotes; type {words}"
    if value.startswith("{"):
        return f"{override}: not a mapping that can be typed; write it into the YAML of model=PATH.yaml"
    return f"{override}: not a value that can be read; esr --help says more"


def _several(override: str) -> str:
    """The line on a value with a comma: several values, a list or a text."""
    key, _, value = override.partition("=")
    each = f"{override}: one value at a time; esr -m {shlex.quote(override)} measures each"
    if ".args." not in key:
        return each
    return f"{each}; as a list type {shlex.quote(f'{key}=[{value}]')}, as one text {typed_words(override)}"


def _unknown_choice(error: MissingConfigException) -> str:
    group, _, choice = (error.missing_cfg_file or "").partition("/")
    if not choice and not error.options:
        return " ".join(str(error).split())
    if not choice:
        return f"{group}=: no choice given; known: {', '.join(error.options or [])}"
    if choice.endswith((".yaml", ".yml")):
        return f"{group}={choice}: no such file (relative to {Path.cwd()})"
    if group == "device" and re.match(r"gpu|cuda", choice):
        return f"{group}={choice}: no such choice; device=cuda, with device.index=N for one of several GPUs"
    if group in NETWORK_GROUPS and (meant := _no_network(group, choice)):
        return f"{group}={choice}: no such choice; {meant}"
    more = " or a path ending in .yaml" if group in NETWORK_GROUPS else ""
    folder = choice if Path(choice).is_dir() else "DIR"
    more = f"; a folder of images is {_folder(folder)}" if group == "data" else more
    return f"{group}={choice}: no such choice; {did_you_mean(choice, error.options or [])}{more}"


def _no_network(group: str, choice: str) -> str:
    """Words to type instead of all networks, or of a weight file; empty for any other choice."""
    if choice in ("*", "all"):
        return f"esr -m '{group}=glob(*)' measures every network"
    if choice.endswith((".pth", ".pt", ".ckpt", ".safetensors")):
        key = "weights" if group == "model" else f"{group}_weights"
        return f"weights are given by {key}={choice}, beside {group}=NAME"
    return ""


def _wrong_value(cause: OmegaConfBaseException, overrides: Sequence[str]) -> str:
    key = str(cause.full_key or cause.key or "")
    reason = first_line(cause)
    if isinstance(cause, InterpolationResolutionError):
        return next((f"{word}: {reason}" for word in overrides if "${" in word), reason)
    given = next((word for word in reversed(overrides) if key_of(word) == key), None)
    if "not in" in reason and "Key" in reason:
        below = next((word for word in overrides if key_of(word).startswith(f"{key}.")), None)
        return unknown_key(given or below or key)
    if given and "is not a ListConfig" in reason:
        name, _, value = given.partition("=")
        return f"{given}: must be a list, as {name}=[{value}]"
    for ending, expected in _EXPECTED.items():
        if ending in reason:
            return f"{given or key}: expected {expected}"
    return f"{given or key}: {reason}"


def nearest_key(override: str, known: Sequence[str]) -> str:
    """The line on an unknown key, with the nearest ones, or else those of the same group."""
    key = key_of(override)
    near = did_you_mean(key, known)
    if near.startswith("known"):
        last = [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
        parent = key.rpartition(".")[0]
        siblings = [name for name in known if name.rpartition(".")[0] == parent]
        siblings += {name.partition(".")[0] for name in known if not (parent and siblings)}
        near = did_you_mean(last[0], last[:3]) if last else did_you_mean(key, siblings)
    return f"{override}: no such key{'' if key == override else f' {key}'}; {near}"


def unknown_key(override: str, known: Sequence[str] = (), explained: str = "esr config explains them") -> str:
    """The line on a key that is not there: a precision, an argument of a network, or the nearest keys.

    Args:
        override: As typed.
        known: All keys; none: those of an evaluation.
        explained: End of the line.
    """
    key = key_of(override)
    if key.rpartition(".")[2] in _PRECISIONS:
        return f"{override}: no such key {key}; networks are measured in float32, as the challenge measures them"
    if ".args." in key and not override.startswith("+"):
        return f"{override}: the network's configuration gives no {key}; to add it type {shlex.quote(f'+{override}')}"
    return f"{nearest_key(override, known or known_keys())}; {explained}"
