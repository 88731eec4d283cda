"""The task that Hydra runs: one evaluation or, with `-m`, one for each network, shown and summed up."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig

from esr.config import compose as composition
from esr.config.mistakes import in_one_line
from esr.errors import ConfigError, EsrError, EvaluationFailed
from esr.multirun import folders
from esr.multirun.outcomes import NetworkOutcome, summary

if TYPE_CHECKING:
    from esr.multirun.overview import Overview

_SUBMITIT_LOCAL = {
    "_target_": "hydra_plugins.esr_plugins.cluster.SubmititLocal",
    "submitit_folder": "${hydra.sweep.dir}/.submitit/%j",
    "name": "${hydra.job.name}",
    "timeout_min": 10080,  # of a job, including the wait for the device
    "array_parallelism": 1,  # jobs beyond one would only wait for the lock of the device
}
"""A process for each network on this machine."""


def register() -> None:
    """Registers what `conf/` refers to: the schema, the resolvers of folders' names, the launcher `submitit_local`."""
    composition.register()
    folders.register()
    # hydra-submitit-launcher, if installed, has stored a launcher of that name, against which Hydra would check a YAML.
    Plugins.instance()
    ConfigStore.instance().store(group="hydra/launcher", name="submitit_local", node=_SUBMITIT_LOCAL)


class Task:
    """Called by Hydra for each configuration, here or in another process; collects the outcomes."""

    def __init__(self) -> None:
        self.overview: Overview | None = None
        self.outcomes: list[NetworkOutcome] = []
        self.networks = 0
        """Number of networks in the multirun."""
        self.error: Exception | None = None
        """Error of the one evaluation: kept, because Hydra prints a line of its own for one that is raised."""

    def __getstate__(self) -> dict[str, object]:
        # In another process, the task knows of its own network alone.
        return Task().__dict__

    def __call__(self, config: DictConfig) -> NetworkOutcome | None:
        """Measures one network; without `-m` an error is kept in `error`, with it every error is an outcome."""
        from esr.multirun import resume  # noqa: PLC0415 - `--cfg job` and completion measure nothing
        from esr.multirun.overview import Overview  # noqa: PLC0415

        hydra = HydraConfig.get()
        folder = Path(hydra.runtime.output_dir)
        if hydra.mode is not RunMode.MULTIRUN:
            try:
                _evaluate(config, folder)
            except Exception as error:  # the caller of Hydra raises it
                self.error = error
            return None
        if self.overview is None:
            with (overview := Overview(1)):
                return resume.one_of_many(config, folder, overview)
        outcome = resume.one_of_many(config, folder, self.overview)
        self.end(outcome)
        return outcome

    def end(self, outcome: NetworkOutcome) -> None:
        """Notes and shows a network's outcome."""
        self.outcomes.append(outcome)
        if self.overview is not None:
            self.overview.end(outcome)

    def composable(
        self, compose: Callable[[Sequence[str]], DictConfig], jobs: Sequence[Sequence[str]]
    ) -> list[Sequence[str]]:
        """The jobs whose configuration can be composed; the others, as one with a broken YAML, end as refused.

        Args:
            compose: Composes one job's configuration.
            jobs: Overrides of each job.

        Raises:
            ConfigError: The command names a choice that does not exist, or no job can be composed; nothing was
                measured yet.
        """
        sound: list[Sequence[str]] = []
        refused: list[tuple[Sequence[str], EsrError]] = []
        for overrides in jobs:
            try:
                with in_one_line(overrides):
                    compose(overrides)
                sound.append(overrides)
            except EsrError as error:
                if isinstance(error.__cause__, MissingConfigException):
                    self.networks = 0  # nothing to sum up
                    raise
                refused.append((overrides, error))
        if refused and not sound:
            self.networks = 0
            raise refused[0][1]
        for overrides, reason in refused:
            self.end(NetworkOutcome(self.network(overrides), "refused", str(reason), None))
        return sound

    @staticmethod
    def network(overrides: Sequence[str]) -> str:
        """Name of a network of which only the overrides are known.

        >>> Task.network(["model=submissions/mine.yaml", "data=set5"])
        'mine'
        """
        chosen = [word.partition("=")[2] for word in overrides if word.startswith("model=")]
        return Path(chosen[-1]).stem if chosen else " ".join(overrides)

    @contextmanager
    def watched(self, networks: int) -> Iterator[None]:
        """Shows the progress of that many networks.

        Raises:
            ConfigError: There are none.
        """
        from esr.multirun.overview import Overview  # noqa: PLC0415 - see `__call__`

        if not networks:
            raise ConfigError("no network matches; esr show lists them")
        self.networks += networks
        self.overview = Overview(networks)
        try:
            with self.overview:
                yield
        finally:
            self.overview = None

    def close(self) -> int:
        """Prints the summary of a multirun; the exit code: 0, 1 if a network failed, 2 if none could start."""
        if not self.networks:
            return 0
        print("\n".join(summary(self.outcomes, self.networks)))
        if used := [outcome.folder for outcome in self.outcomes if outcome.folder]:
            folders.link_latest(used[-1].parent)
        states = {outcome.status for outcome in self.outcomes}
        if states == {"refused"}:
            return EsrError.exit_code
        return EvaluationFailed.exit_code if states & {"failed", "refused"} else 0


def _evaluate(config: DictConfig, folder: Path) -> None:
    from esr.evaluation.evaluate import evaluate  # noqa: PLC0415 - see `Task.__call__`
    from esr.report.record_table import print_record  # noqa: PLC0415
    from esr.system.console import StageBars, console  # noqa: PLC0415

    settings = composition.check(config)
    with StageBars() as bars:
        record = evaluate(settings, folder, bars)
    print_record(record, console())
    networks = (record.candidate, record.baseline)
    failed = [f"{one.name} failed ({one.failure.kind}: {one.failure.message})" for one in networks if one.failure]
    if failed:
        raise EvaluationFailed(f"{'; '.join(failed)}; the record holds what was measured")
