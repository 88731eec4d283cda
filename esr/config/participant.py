"""A network's YAML, read and checked; a participant's gets its name and path filled in."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from esr.config.cards import card_of_model, folder
from esr.config.mistakes import all_keys, first_line
from esr.config.schema import ModelConf
from esr.errors import ConfigError
from esr.text import did_you_mean


def read_network(file: Path, text: str) -> DictConfig:
    """A network's YAML as a mapping.

    Args:
        file: The YAML, for messages and as a participant's `source`.
        text: Its content.

    Raises:
        ConfigError: It is not valid YAML, or of a participant's a key is unknown or a value has the wrong type.
    """
    try:
        config = OmegaConf.create(text)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{file}: not valid YAML ({reason}); see docs/own-network.md") from error
    if not isinstance(config, DictConfig) or not config:
        raise ConfigError(f"{file}: no keys found, expected at least _target_; see docs/own-network.md")
    if file.parent in (folder(), folder().with_name("repository")):
        return config
    _check(config, file)
    return DictConfig({"name": file.stem, "source": str(file.resolve()), **config})


def _check(config: DictConfig, file: Path) -> None:
    given = {key: config[key] for key in config if key != "defaults"}  # Hydra's own
    try:
        model = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(ModelConf(_target_="")), given))
    except OmegaConfBaseException as error:
        key = str(error.full_key or error.key)
        unknown = "not in" in str(error.msg)
        hint = f"; {did_you_mean(key, all_keys(OmegaConf.structured(ModelConf)))}" if unknown else ""
        raise ConfigError(f"{file}: {key}: {first_line(error)}{hint}") from error
    if isinstance(model, ModelConf):
        card_of_model(model, f"{file}: ")
