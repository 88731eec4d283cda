"""Networks as choices of the groups `model` and `baseline`: shipped ones by name, a participant's by path."""

from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin

from esr.config.cards import model_file, model_names
from esr.config.participant import read_network
from esr.config.schema import NETWORK_GROUPS


class NetworkSource(ConfigSource):
    """Serves the groups `model` and `baseline`."""

    @staticmethod
    def scheme() -> str:
        """Scheme of this source in Hydra's search path."""
        return "esr"

    def available(self) -> bool:
        """Always `True`: a path may be named at any time."""
        return True

    def is_group(self, config_path: str) -> bool:
        """True for the root and for both groups."""
        return config_path.strip("/") in ("", *NETWORK_GROUPS)

    def is_config(self, config_path: str) -> bool:
        """True if `config_path` names a network."""
        return _file(config_path) is not None

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """The groups, or the networks of one of them."""
        if config_path.strip("/") in NETWORK_GROUPS:
            return [] if results_filter is ObjectType.GROUP else model_names()
        return [] if results_filter is ObjectType.CONFIG else [*NETWORK_GROUPS]

    def load_config(self, config_path: str) -> ConfigResult:
        """Reads the YAML.

        Raises:
            ConfigError: The file is not a network's.
        """
        file = _file(config_path)
        if file is None:
            raise ConfigLoadError(f"Config not found: {config_path}")
        # Without a header: a participant's `# @package` would put the keys elsewhere.
        header: dict[str, str | None] = {"package": None}
        return ConfigResult(config=read_network(file), path=self.full_path(), provider=self.provider, header=header)


def _file(config_path: str) -> Path | None:
    group, _, choice = config_path.partition("/")
    return model_file(choice, group) if group in NETWORK_GROUPS and choice else None


class NetworkSearchPath(SearchPathPlugin):
    """Puts `NetworkSource` before the shipped folders, so that `model=imdn.yaml` is the participant's own file."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Prepends the source."""
        search_path.prepend("esr", f"{NetworkSource.scheme()}://networks")
