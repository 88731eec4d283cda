"""From a list of Hydra overrides to a checked configuration, an `EsrConf`.

Hydra's `DictConfig` stays in this module, in Hydra's plugins and in the task that Hydra runs.
"""

import os
from collections.abc import Sequence

from hydra import compose as hydra_compose
from hydra import initialize_config_module
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from esr.config.cards import model_names
from esr.config.mistakes import in_one_line, refuse_lists
from esr.config.participant import check_settings
from esr.config.repository_words import complete, expand, network_of
from esr.config.schema import EsrConf, typed
from esr.errors import ConfigError


def compose(overrides: Sequence[str]) -> EsrConf:
    """The checked configuration for overrides as on the command line.

    Raises:
        ConfigError: An override is wrong; the line names it and the nearest valid names.
    """
    refuse_lists(overrides)
    words = expand(overrides)
    with in_one_line(words):
        return check(compose_unchecked("config", words))


def register() -> None:
    """Names the schema in Hydra's store, where `conf/config.yaml` looks for it, and the resolver of `out`."""
    OmegaConf.register_new_resolver("esr.out", out_folder, replace=True)
    ConfigStore.instance().store(name="schema", node=EsrConf)
    OmegaConf.register_new_resolver("esr.repository", network_of, replace=True)


def out_folder() -> str:
    """Folder for results: `$ESR_OUT`; unset or empty, the current one."""
    return os.environ.get("ESR_OUT", "").strip() or "."


def compose_unchecked(name: str, overrides: Sequence[str]) -> DictConfig:
    """Hydra's composition of a primary configuration and overrides; Hydra may be running already."""
    register()
    if GlobalHydra.instance().is_initialized():
        return hydra_compose(name, overrides=list(overrides))
    with initialize_config_module("esr.conf", version_base="1.3", job_name="esr"):
        return hydra_compose(name, overrides=list(overrides))


def require_network(config: DictConfig) -> DictConfig:
    """A configuration as it is, if it has a network.

    Raises:
        ConfigError: Neither `model=…` nor `+model._target_=…` was given.
    """
    if OmegaConf.is_missing(config.model, "_target_"):
        names = ", ".join(model_names())
        raise ConfigError(f"no network chosen: add model=NAME ({names}) or model=PATH.yaml")
    return config


def check(config: DictConfig) -> EsrConf:
    """A composed configuration, resolved, typed and checked.

    Raises:
        ConfigError: A value is missing or out of range.
        OmegaConfBaseException: A key is unknown, or an interpolation cannot be resolved.
    """
    require_network(config)
    OmegaConf.resolve(config)
    settings = typed(EsrConf, OmegaConf.to_container(config))  # plain: a key added by + would pass unread
    settings.out = os.path.expanduser(settings.out)
    settings.model, settings.baseline = complete(settings.model), complete(settings.baseline)
    check_settings(settings)
    return settings
