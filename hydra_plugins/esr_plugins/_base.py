"""Common part of the launchers; Hydra's scan, which would execute it twice, skips it for the underscore."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

if TYPE_CHECKING:
    from esr.multirun.task import Task


class NetworkLauncher(Launcher):
    """Composes the configuration of each network; subclasses run them."""

    hydra_context: HydraContext
    config: DictConfig
    task: "Task"

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes what Hydra hands over."""
        self.hydra_context = hydra_context
        self.config = config
        self.task = cast("Task", task_function)

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """One network's configuration."""
        return self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))

    def numbered(self, overrides: Sequence[str], number: int, job_id: Any) -> DictConfig:
        """One network's configuration, with the job's number and identifier."""
        config = self.compose(overrides)
        with open_dict(config):
            config.hydra.job.id = job_id
            config.hydra.job.num = number
        return config
