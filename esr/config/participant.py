"""A network's YAML, read and checked; a participant's gets its name and path filled in."""

import math
from collections.abc import Iterator
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, Event, ScalarEvent

from esr.config.cards import card_of_model, folder
from esr.config.class_path import check_class_path, methods
from esr.config.mistakes import all_keys, first_line
from esr.config.schema import EsrConf, ModelConf, check_values
from esr.errors import ConfigError
from esr.text import did_you_mean, escaped, one_line, shown_path

MOST_BYTES = 100_000
MOST_NODES = 10_000
DEEPEST = 30
"""Limits of a network's YAML, far above those of any network; beyond them, reading takes minutes."""
_MAPPINGS = ("args", "tile", "checkpoint", "published")
HYDRAS_OWN = ("defaults", "hydra")
SEE = "see docs/own-network.md"


def read_network(file: Path) -> DictConfig:
    """A network's YAML as a mapping.

    Args:
        file: The YAML; a participant's becomes its `source`.

    Raises:
        ConfigError: It cannot be read, is not UTF-8 or not valid YAML, is larger or deeper than any network's, or of
            a participant's a key is unknown or a value has the wrong type.
    """
    shown = shown_path(file)
    text = _text(file, shown)
    try:
        _check_size(text)
        config = OmegaConf.create(text)
    except Exception as error:  # OmegaConf and its parser raise nearly anything for a stranger's text
        raise ConfigError(f"{shown}: not valid YAML ({_reason(error)}); {SEE}") from error
    if not isinstance(config, DictConfig) or not config:
        raise ConfigError(f"{shown}: no keys found, expected at least _target_; {SEE}")
    if file.parent in (folder(), folder().with_name("repository")):
        return config
    _check(config, shown)
    return DictConfig({"name": file.stem, "source": str(file.resolve()), **config})


def _text(file: Path, shown: str) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{shown}: cannot be read ({error.strerror or error}); make it readable") from error
    if len(content) > MOST_BYTES:
        raise ConfigError(f"{shown}: is larger than {MOST_BYTES:,} bytes, more than any network's YAML; {SEE}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{shown}: is not UTF-8 (line {at}); save it as UTF-8") from error


def _check_size(text: str) -> None:
    """Refuses what would take for ever to build: deep nesting, and aliases by which a few lines become gigabytes.

    Raises:
        ValueError: The text is such a YAML.
        YAMLError: It is no YAML.
    """
    total = 0
    opened: list[tuple[str | None, int]] = []  # anchor and total at the start of each collection
    sizes: dict[str | None, int] = {}  # of what each anchor stands for, in nodes
    for event in _events(text):
        if isinstance(event, CollectionEndEvent):
            anchor, before = opened.pop()
            sizes[anchor] = total - before
        elif isinstance(event, AliasEvent):
            if event.anchor not in sizes:
                raise ValueError(f"line {_line(event)}: *{event.anchor} refers to nothing before it")
            total += sizes[event.anchor]
        elif isinstance(event, CollectionStartEvent | ScalarEvent):
            total += 1
            sizes[event.anchor] = 1
            if isinstance(event, CollectionStartEvent):
                sizes.pop(event.anchor)  # not before its end
                opened.append((event.anchor, total))
        if len(opened) > DEEPEST:
            raise ValueError(f"line {_line(event)}: nested more than {DEEPEST} deep")
        if total > MOST_NODES:
            raise ValueError(f"more than {MOST_NODES:,} keys and values")


def _line(event: Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _events(text: str) -> Iterator[Event]:
    yield from yaml.parse(text, Loader=yaml.SafeLoader)


def _check(config: DictConfig, shown: str) -> None:
    for key in HYDRAS_OWN:
        if key in config:
            raise ConfigError(f"{shown}: {key}: is Hydra's, not a network's; leave it out and write out the keys")
    if "build" in config:
        remedy = "build a wheel of the operator, and name it in the file of `requirements`"
        raise ConfigError(f"{shown}: build: nothing is compiled here; {remedy}; see docs/challenge-repositories.md")
    try:
        model = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(ModelConf(_target_="")), config))
    except OmegaConfBaseException as error:
        if misplaced := _misplaced(config):
            raise ConfigError(f"{shown}: {misplaced}; {SEE}") from error
        key = str(error.full_key or error.key)
        unknown = "not in" in str(error.msg)
        hint = f"; {did_you_mean(key, all_keys(OmegaConf.structured(ModelConf)))}" if unknown else ""
        raise ConfigError(f"{shown}: {escaped(key)}: {one_line(first_line(error))}{hint}") from error
    except Exception as error:  # as for a value that refers to itself
        raise ConfigError(f"{shown}: {_reason(error)}; {SEE}") from error
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
    plain = OmegaConf.to_container(config, resolve=False)
    outer = plain if isinstance(plain, dict) else {}
    checkpoint = outer.get("checkpoint")
    inner = checkpoint if isinstance(checkpoint, dict) else {}
    kinds: dict[str, tuple[object, type]] = {key: (outer.get(key), dict) for key in _MAPPINGS}
    kinds |= {"checkpoint.rename": (inner.get("rename"), dict), "checkpoint.drop": (inner.get("drop"), list)}
    for key, (value, kind) in kinds.items():
        if value is not None and not isinstance(value, kind):
            name = key.rpartition(".")[2]
            example = f"{name}: {{KEY: VALUE}}" if kind is dict else f"{name}: ['PATTERN']"
            return f"{key}: must be a {'mapping' if kind is dict else 'list'}, as {example}"
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "a value refers to itself"
    return one_line(str(error))[:300] or type(error).__name__
