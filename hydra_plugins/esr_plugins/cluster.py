"""Launchers that hand each network of a multirun to submitit: to Slurm, or to another process on this machine.

The parent only submits and watches. A job that the cluster ends is one network's failure; the same command, or Slurm
itself when it requeues a job, resumes with the networks that have no record yet.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from esr.errors import ConfigError
from esr.multirun import folders
from esr.multirun.outcomes import NetworkOutcome
from hydra_plugins.esr_plugins._base import NetworkLauncher

_POLL_S = 1.0
_QUEUE_S = 10.0
"""Seconds between two queries of Slurm's queue, which all users of a cluster share."""
_ABSENCES = 2
"""Queries after which a job that is not in the queue has ended: a shared folder may show its result late."""
_EXECUTOR_KEYS = ("submitit_folder", "array_parallelism", "max_num_timeout")
"""Keys of the launcher that are the executor's."""
_SHARED_KEYS = (
    "name",
    "timeout_min",
    "nodes",
    "tasks_per_node",
    "gpus_per_node",
    "cpus_per_task",
    "mem_gb",
    "stderr_to_stdout",
)
"""Keys that submitit names alike for every executor."""


@dataclass(frozen=True)
class _Submitted:
    """A job and its overrides."""

    job: Any
    overrides: Sequence[str]


class SubmititLauncher(NetworkLauncher):
    """Submits a job for each network, shows which have ended, and survives those that the cluster ends."""

    executor_name: ClassVar[str]

    def __init__(self, **params: Any) -> None:
        self.params: Mapping[str, Any] = {
            key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in params.items()
        }

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes what Hydra hands over.

        Raises:
            ConfigError: submitit is not installed.
        """
        if importlib.util.find_spec("submitit") is None:
            chosen = config.hydra.runtime.choices["hydra/launcher"]
            raise ConfigError(f"hydra/launcher={chosen}: submitit is not installed; pip install submitit")
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def __call__(self, overrides: Sequence[str], number: int, state: Any) -> JobReturn:
        """Runs one network; submitit calls it in the job."""
        import submitit  # noqa: PLC0415 - an extra

        folders.register()
        # Slurm ends a job's workers, too; that must not become the network's failure in a record.
        signal.signal(signal.SIGTERM, _end)
        Singleton.set_state(state)
        setup_globals()
        return self.run(overrides, number, submitit.JobEnvironment().job_id)

    def checkpoint(self, *arguments: Any) -> Any:
        """The same job again; submitit calls it when the cluster preempts one or its time is over."""
        import submitit  # noqa: PLC0415 - an extra

        return submitit.helpers.DelayedSubmission(self, *arguments)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs the networks.

        Raises:
            ConfigError: There is no such cluster here, or it does not take the jobs.
        """
        with self.task.watched(len(job_overrides)):
            executor = self.executor()
            waiting = list(enumerate(self.sound(job_overrides), initial_job_idx))
            running: list[_Submitted] = []
            while waiting or running:
                room = self.parallel() - len(running)
                batch, waiting = waiting[:room], waiting[room:]
                running += self._submit(executor, batch)
                time.sleep(_POLL_S)
                for one in self.ended(running):
                    running.remove(one)
                    self.task.end(self._outcome(one))
        return []

    def executor(self) -> Any:
        """Submitit's executor with the launcher's keys."""
        import submitit  # noqa: PLC0415 - an extra

        start = {"folder": self.params["submitit_folder"], "cluster": self.executor_name}
        if "max_num_timeout" in self.params:
            start[f"{self.executor_name}_max_num_timeout"] = self.params["max_num_timeout"]
        executor = submitit.AutoExecutor(**start)
        executor.update_parameters(
            **{
                key if key in _SHARED_KEYS else f"{self.executor_name}_{key}": value
                for key, value in self.params.items()
                if key not in _EXECUTOR_KEYS
            }
        )
        return executor

    def _submit(self, executor: Any, batch: Sequence[tuple[int, Sequence[str]]]) -> list[_Submitted]:
        if not batch:
            return []
        import submitit  # noqa: PLC0415 - an extra

        state = Singleton.get_state()
        calls = [(list(overrides), number, state) for number, overrides in batch]
        try:
            jobs = executor.map_array(self, *zip(*calls, strict=True))
        except submitit.core.utils.FailedJobError as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"the cluster does not take the jobs: {reason}; see docs/sweeps.md") from error
        return [_Submitted(job, overrides) for job, (_, overrides) in zip(jobs, batch, strict=True)]

    @abstractmethod
    def parallel(self) -> int:
        """Number of jobs that may be submitted and unfinished."""

    def ended(self, running: Sequence[_Submitted]) -> list[_Submitted]:
        """The jobs that have ended, with or without a result."""
        return [one for one in running if one.job.done()]

    def _outcome(self, one: _Submitted) -> NetworkOutcome:
        """A job's result; a job that was ended before it had one is its network's failure."""
        if one.job.paths.result_pickle.exists():
            try:
                outcome: NetworkOutcome = one.job.result().return_value
            except Exception as error:  # whatever ended the job is its network's failure
                reason = str(error).strip().splitlines()[-1]
            else:
                return outcome
        else:
            reason = f"the job ended without a result, as when it is cancelled; its log is {one.job.paths.stderr}"
        sweep = self.compose(one.overrides).hydra.sweep
        folder = Path(sweep.dir).absolute() / str(sweep.subdir)
        return NetworkOutcome(self.task.network(one.overrides), "failed", reason, folder)


class SubmititLocal(SubmititLauncher):
    """Processes on this machine."""

    executor_name = "local"

    def parallel(self) -> int:
        """`array_parallelism`."""
        return int(self.params["array_parallelism"])


class Slurm(SubmititLauncher):
    """Jobs of Slurm, one array for all networks."""

    executor_name = "slurm"

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self._queried = time.monotonic()
        self._absences: Counter[str] = Counter()

    def executor(self) -> Any:
        """Submitit's executor.

        Raises:
            ConfigError: This machine has no `sbatch`.
        """
        if shutil.which("sbatch") is None:
            raise ConfigError("hydra/launcher=slurm: no sbatch here; start esr on a login node of the cluster")
        executor = super().executor()
        executor.update_parameters(slurm_array_parallelism=int(self.params["array_parallelism"]))
        return executor

    def parallel(self) -> int:
        """No limit: all jobs are submitted, and Slurm holds back those beyond `array_parallelism`."""
        return sys.maxsize

    def ended(self, running: Sequence[_Submitted]) -> list[_Submitted]:
        """The jobs with a result, and those that have left the queue without one."""
        # submitit asks sacct, which knows nothing where Slurm keeps no accounts; every Slurm has a queue.
        unfinished = {one.job.job_id for one in running if not one.job.paths.result_pickle.exists()}
        if time.monotonic() - self._queried > _QUEUE_S and (queue := _queue()) is not None:
            self._queried = time.monotonic()
            self._absences = Counter({job: self._absences[job] + 1 for job in unfinished - queue})
        return [
            one for one in running if one.job.job_id not in unfinished or self._absences[one.job.job_id] >= _ABSENCES
        ]


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)  # a shell's exit code for a signal


def _queue() -> set[str] | None:
    """The user's jobs that wait or run; `None`: Slurm did not answer."""
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--user={os.getuid()}"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    return set(asked.stdout.split()) if asked.returncode == 0 else None
