"""From a list of Hydra overrides to a checked configuration.

Two things are added to plain Hydra. A `ConfigSource` lets `model=PATH.yaml` name a participant's own file and
gives the group `baseline` the same choices as `model`. And every mistake becomes a `ConfigError` of one line.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra._internal.sources_registry import SourcesRegistry
from hydra._internal.utils import get_args_parser
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from esr.config.cards import folder, model_file, model_names
from esr.config.schema import EsrConf, ModelConf, check_values, typed
from esr.errors import ConfigError
from esr.text import did_you_mean

MODEL_GROUPS = ("model", "baseline")


class ModelSource(ConfigSource):
    """Serves the groups `model` and `baseline`: shipped networks by name, a participant's by path."""

    @staticmethod
    def scheme() -> str:
        """The scheme by which the search path names this source."""
        return "esr"

    def available(self) -> bool:
        """Always: a path may be named at any time."""
        return True

    @staticmethod
    def _file(config_path: str) -> Path | None:
        group, _, choice = config_path.partition("/")
        return model_file(choice) if group in MODEL_GROUPS and choice else None

    def is_group(self, config_path: str) -> bool:
        """Whether Hydra may look for options below `config_path`."""
        return config_path.strip("/") in ("", *MODEL_GROUPS)

    def is_config(self, config_path: str) -> bool:
        """Whether `config_path` names a network."""
        return self._file(config_path) is not None

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The groups, or the networks in one of them."""
        if config_path.strip("/") in MODEL_GROUPS:
            return [] if results_filter is ObjectType.GROUP else model_names()
        return [] if results_filter is ObjectType.CONFIG else list(MODEL_GROUPS)

    def load_config(self, config_path: str) -> ConfigResult:
        """Reads the YAML; a participant's gets its own path as `source` and a name."""
        file = self._file(config_path)
        if file is None:
            raise ConfigLoadError(f"Config not found: {config_path}")
        text = file.read_text(encoding="utf-8")
        config = read_yaml(file, text)
        if file.parent != folder():
            refuse_unknown(config, file)
            defaults = {"name": file.stem, "source": str(file.resolve())}
            config = OmegaConf.create({**defaults, **OmegaConf.to_container(config)})  # type: ignore[dict-item]
        return ConfigResult(
            config=config, path=self.full_path(), provider=self.provider, header=self._get_header_dict(text)
        )


def read_yaml(file: Path, text: str) -> DictConfig:
    """A network's YAML as a mapping.

    Raises:
        ConfigError: It is not YAML or not a mapping; the line says where.
    """
    try:
        config = OmegaConf.create(text)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{file}: not valid YAML ({reason}); see docs/own-network.md") from error
    if not isinstance(config, DictConfig) or not config:
        raise ConfigError(f"{file}: holds no keys, expected at least _target_; see docs/own-network.md")
    return config


def refuse_unknown(config: DictConfig, file: Path) -> None:
    """Checks a participant's YAML against the schema, apart from Hydra's own `defaults`.

    Raises:
        ConfigError: A key is unknown or a value has the wrong type.
    """
    given = {key: config[key] for key in config if key != "defaults"}
    try:
        OmegaConf.merge(OmegaConf.structured(ModelConf), given)
    except OmegaConfBaseException as error:
        key = str(error.full_key or error.key)
        hint = (
            f"; {did_you_mean(key, all_keys(OmegaConf.structured(ModelConf)))}"
            if "not in" in str(error.msg)
            else ""
        )
        raise ConfigError(f"{file}: {key}: {_first_line(error)}{hint}") from error


class ModelSearchPath(SearchPathPlugin):
    """Puts `ModelSource` before the shipped folders, so that `model=imdn.yaml` is the participant's own file."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Prepends the source."""
        search_path.prepend("esr", f"{ModelSource.scheme()}://networks")


def register() -> None:
    """Makes the schema and the source known to Hydra; calling it again changes nothing."""
    ConfigStore.instance().store(name="schema", node=EsrConf)
    plugins = Plugins.instance()
    if ModelSearchPath not in plugins.discover(SearchPathPlugin):
        SourcesRegistry.instance().register(ModelSource)
        plugins.register(ModelSearchPath)


def compose(overrides: Sequence[str]) -> DictConfig:
    """The checked configuration for overrides as on the command line.

    Raises:
        ConfigError: An override is wrong; the line names it and the nearest valid names.
    """
    with in_one_line(overrides):
        return check(compose_unchecked("config", overrides))


def compose_unchecked(name: str, overrides: Sequence[str]) -> DictConfig:
    """What Hydra composes from a primary configuration and overrides, whether Hydra is running already or not."""
    register()
    if GlobalHydra.instance().is_initialized():
        return hydra_compose(name, overrides=list(overrides))
    with initialize_config_module("esr.conf", version_base="1.3", job_name="esr"):
        return hydra_compose(name, overrides=list(overrides))


@contextmanager
def in_one_line(overrides: Sequence[str]) -> Iterator[None]:
    """Turns Hydra's and OmegaConf's errors inside the block into a `ConfigError`."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, overrides) from error


def require_network(config: DictConfig) -> None:
    """Refuses a configuration without a network.

    Raises:
        ConfigError: Neither `model=…` nor `+model._target_=…` was given.
    """
    if OmegaConf.is_missing(config.model, "_target_"):
        names = ", ".join(model_names())
        raise ConfigError(f"no network chosen: add model=NAME ({names}) or model=PATH.yaml")


def check(config: DictConfig) -> DictConfig:
    """Resolves interpolations and checks what the types alone cannot express.

    Raises:
        ConfigError: A value is missing or out of range.
        OmegaConfBaseException: An interpolation leads nowhere.
    """
    require_network(config)
    OmegaConf.resolve(config)
    # Hydra's + would add a key that nothing reads.
    check_values(typed(EsrConf, OmegaConf.to_container(config)))
    return config


def explain(error: Exception, overrides: Sequence[str]) -> ConfigError:
    """One line for any error of Hydra or OmegaConf: the override, what is wrong, the nearest valid names."""
    if isinstance(error, MissingConfigException):
        return ConfigError(_unknown_choice(error))
    if isinstance(error, OverrideParseException):
        return ConfigError(
            f"{error.override}: {str(error.message).splitlines()[0]}; quote it, or see esr --help"
        )
    cause = error.__cause__ if isinstance(error, ConfigCompositionException) and error.__cause__ else error
    if isinstance(cause, OmegaConfBaseException):
        return ConfigError(_wrong_value(cause, overrides))
    line = " ".join(str(error).split())
    match = next((word for word in overrides if word and word.split("=")[0].lstrip("+~") in line), None)
    if "Could not override" in line and match:
        return ConfigError(_unknown_key(match))
    return ConfigError(line)


def _unknown_choice(error: MissingConfigException) -> str:
    group, _, choice = (error.missing_cfg_file or "").partition("/")
    if not choice:
        if not error.options:
            return " ".join(str(error).split())
        return f"{group}=: no choice given; known: {', '.join(error.options)}"
    if choice.endswith((".yaml", ".yml")):
        return f"{group}={choice}: no such file (relative to {Path.cwd()})"
    hint = did_you_mean(choice, error.options or [])
    more = " or a path ending in .yaml" if group in MODEL_GROUPS else ""
    return f"{group}={choice}: no such choice; {hint}{more}"


def _wrong_value(cause: OmegaConfBaseException, overrides: Sequence[str]) -> str:
    key = str(cause.full_key or cause.key or "")
    reason = _first_line(cause)
    if isinstance(cause, InterpolationResolutionError):
        return next((f"{word}: {reason}" for word in overrides if "${" in word), reason)
    given = [word for word in overrides if word.lstrip("+~").partition("=")[0] == key]
    if "not in" in reason and "Key" in reason:
        return _unknown_key(given[0] if given else key)
    if given and "is not a ListConfig" in reason:
        name, _, value = given[-1].partition("=")
        return f"{given[-1]}: must be a list, as {name}=[{value}]"
    return f"{given[-1] if given else key}: {reason}"


def _first_line(error: OmegaConfBaseException) -> str:
    text = str(error.msg or error)
    return text.splitlines()[0] if text else type(error).__name__


def _unknown_key(override: str) -> str:
    key = override.lstrip("+~").partition("=")[0]
    known = all_keys(OmegaConf.structured(EsrConf))
    parent = key.rpartition(".")[0]
    near = did_you_mean(key, known)
    if near.startswith("known"):
        siblings = [name for name in known if name.rpartition(".")[0] == parent]
        near = (
            did_you_mean(key, siblings) if siblings else did_you_mean(key, [n for n in known if "." not in n])
        )
    return f"{override}: no such key {key}; {near}"


def all_keys(config: Any, prefix: str = "") -> list[str]:
    """Dotted names of every key of a configuration, groups included."""
    keys = []
    for key in config:
        name = f"{prefix}{key}"
        keys.append(name)
        if not OmegaConf.is_missing(config, key) and isinstance(config[key], DictConfig):
            keys += all_keys(config[key], f"{name}.")
    return keys


_MODES = ("run", "multirun", "cfg", "info", "shell_completion")
"""Options of Hydra that exclude each other; it would say so by a traceback."""


def check_options(words: Sequence[str]) -> None:
    """Refuses options that Hydra does not know, in one line instead of a page of usage.

    Raises:
        ConfigError: An option is unknown or its value is.
    """
    parser = get_args_parser()

    def refuse(message: str) -> NoReturn:
        raise ConfigError(f"{message}; esr --help and esr --hydra-help list the options")

    parser.error = refuse  # type: ignore[method-assign]
    options = parser.parse_args(list(words))
    modes = [f"--{mode}" for mode in _MODES if getattr(options, mode)]
    if len(modes) > 1:
        refuse(f"{' '.join(modes)}: only one of them at a time")


def quiet_hydra() -> None:
    """Lets Hydra's errors reach our own handler instead of being printed with Hydra's advice."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")
    # Hydra prints through logging, which prints a traceback per line where the reader has gone, as with `| head`.
    logging.raiseExceptions = False
