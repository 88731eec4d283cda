"""Launchers that hand each network of a multirun to submitit: to Slurm, or to another process on this machine.

The parent only submits and watches. A job that the cluster ends is one network's failure; the same command, or Slurm
itself when it queues a job again, goes on with what has no record yet.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import submitit
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher
from omegaconf import OmegaConf

from esr.config import digest as naming
from esr.errors import ConfigError
from esr.multirun.overview import NetworkOutcome

_POLL_S = 1.0
_QUEUE_S = 10.0
"""Seconds between two looks at Slurm's queue, which all users of a cluster share."""
_ABSENCES = 2
"""Looks after which a job that is not in the queue is gone: a shared folder may show its result late."""
_NOT_OF_A_JOB = ("submitit_folder", "array_parallelism", "max_num_timeout")
"""Keys of `conf/hydra/launcher` that are the executor's."""


@dataclass(frozen=True)
class _Submitted:
    """A job and the overrides that it was given."""

    job: Any
    overrides: Sequence[str]


class _Launcher(BaseSubmititLauncher):  # type: ignore[misc]
    """Submits a job for each network, shows which are done, and outlives those that the cluster ends."""

    def __call__(self, *arguments: Any, **named: Any) -> JobReturn:
        """Runs one network; submitit calls it in the job."""
        naming.register()
        # Slurm ends a job's workers, too; that must not become the network's failure in a record.
        signal.signal(signal.SIGTERM, _end)
        done: JobReturn = super().__call__(*arguments, **named)
        return done

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs the networks.

        Raises:
            ConfigError: There is no such cluster here, or it does not take the jobs.
        """
        task: Any = self.task_function
        with task.watched(len(job_overrides)):
            executor = self._executor()
            waiting = list(enumerate(task.composable(self, job_overrides), initial_job_idx))
            running: list[_Submitted] = []
            while waiting or running:
                room = self._together() - len(running)
                batch, waiting = waiting[:room], waiting[room:]
                running += self._submit(executor, batch)
                time.sleep(_POLL_S)
                for one in self._over(running):
                    running.remove(one)
                    task.end(self._outcome(one))
        return []

    def _executor(self) -> Any:
        start = {"folder": self.params["submitit_folder"], "cluster": self._EXECUTOR}
        if "max_num_timeout" in self.params:
            start[f"{self._EXECUTOR}_max_num_timeout"] = self.params["max_num_timeout"]
        executor = submitit.AutoExecutor(**start)
        shared = set(OmegaConf.structured(BaseQueueConf).keys())
        executor.update_parameters(
            **{
                key if key in shared else f"{self._EXECUTOR}_{key}": value
                for key, value in self.params.items()
                if key not in _NOT_OF_A_JOB
            }
        )
        return executor

    def _submit(self, executor: Any, batch: Sequence[tuple[int, Sequence[str]]]) -> list[_Submitted]:
        if not batch:
            return []
        state = Singleton.get_state()
        calls = [
            (list(overrides), "hydra.sweep.dir", number, f"job_id_for_{number}", state)
            for number, overrides in batch
        ]
        try:
            jobs = executor.map_array(self, *zip(*calls, strict=True))
        except submitit.core.utils.FailedJobError as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"the cluster does not take the jobs: {reason}; see docs/sweeps.md") from error
        return [_Submitted(job, overrides) for job, (_, overrides) in zip(jobs, batch, strict=True)]

    def _together(self) -> int:
        """How many jobs may be submitted and unfinished."""
        return int(self.params["array_parallelism"])

    def _over(self, running: Sequence[_Submitted]) -> list[_Submitted]:
        return [one for one in running if one.job.done()]

    def _outcome(self, one: _Submitted) -> NetworkOutcome:
        """What a job returned; where it was ended before it could, that is the network's failure."""
        if one.job.paths.result_pickle.exists():
            try:
                outcome: NetworkOutcome = one.job.result().return_value
            except Exception as error:  # whatever ended the job stands for its network
                reason = str(error).strip().splitlines()[-1]
            else:
                return outcome
        else:
            reason = (
                f"the job ended without a result, as when it is cancelled; its log is {one.job.paths.stderr}"
            )
        task: Any = self.task_function
        return NetworkOutcome(task.network(one.overrides), "failed", reason, self._folder(one.overrides))

    def _folder(self, overrides: Sequence[str]) -> Path:
        assert self.hydra_context is not None  # noqa: S101 - Hydra has set the launcher up
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        return Path(config.hydra.sweep.dir).absolute() / str(config.hydra.sweep.subdir)


class SubmititLocal(_Launcher):
    """Processes on this machine."""

    _EXECUTOR = "local"


class Slurm(_Launcher):
    """Jobs of Slurm, one array for all networks."""

    _EXECUTOR = "slurm"

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self._looked = time.monotonic()
        self._absences: Counter[str] = Counter()

    def _executor(self) -> Any:
        if shutil.which("sbatch") is None:
            raise ConfigError(
                "hydra/launcher=slurm: no sbatch here; start esr on a login node of the cluster"
            )
        executor = super()._executor()
        executor.update_parameters(slurm_array_parallelism=super()._together())
        return executor

    def _together(self) -> int:
        return sys.maxsize  # all are submitted; Slurm itself holds back what array_parallelism does not allow

    def _over(self, running: Sequence[_Submitted]) -> list[_Submitted]:
        # submitit asks sacct, which knows nothing where Slurm keeps no accounts; a queue there is everywhere.
        unfinished = {one.job.job_id for one in running if not one.job.paths.result_pickle.exists()}
        if time.monotonic() - self._looked > _QUEUE_S and (queue := _queue()) is not None:
            self._looked = time.monotonic()
            self._absences = Counter({job: self._absences[job] + 1 for job in unfinished - queue})
        return [
            one
            for one in running
            if one.job.job_id not in unfinished or self._absences[one.job.job_id] >= _ABSENCES
        ]


def _end(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)  # as a shell words it


def _queue() -> set[str] | None:
    """The user's jobs that wait or run; none where Slurm did not answer, which says nothing about them."""
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--user={os.getuid()}"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    return set(asked.stdout.split()) if asked.returncode == 0 else None
