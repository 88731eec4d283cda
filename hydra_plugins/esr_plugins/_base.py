"""Common part of the launchers; Hydra's scan, which would execute it twice, skips it for the underscore."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.core.utils import JobReturn, run_job
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

if TYPE_CHECKING:
    from esr.multirun.task import Task


class NetworkLauncher(Launcher):
    """Composes and runs each network; subclasses say where and in which order."""

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

    def sound(self, jobs: Sequence[Sequence[str]]) -> list[Sequence[str]]:
        """The jobs that can be composed; only then is the multirun's folder made, and its configuration written.

        Raises:
            ConfigError: There is none, as `Task.composable` says.
        """
        found = self.task.composable(self.compose, jobs)
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        return found

    def run(self, overrides: Sequence[str], number: int, job_id: Any) -> JobReturn:
        """Runs one network in this process, under the job's number and identifier."""
        config = self.compose(overrides)
        with open_dict(config):
            config.hydra.job.id = job_id
            config.hydra.job.num = number
        return run_job(
            hydra_context=self.hydra_context,
            task_function=self.task,
            config=config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
