"""The task that Hydra runs: one evaluation or, with `-m`, one for each network, shown and summed up."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
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
from esr.config.quoting import unquoted
from esr.errors import ConfigError, EsrError, EvaluationFailed
from esr.multirun import folders
from esr.multirun.outcomes import NetworkOutcome, summary
from esr.text import indented, one_line, printable, shown_path

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

    def __init__(self, *, verbose: bool = False, as_json: bool = False) -> None:
        self.verbose, self.as_json = verbose, as_json
        """Print every figure and note of the one evaluation; print JSON instead of text."""
        self.overview: Overview | None = None
        self.outcomes: list[NetworkOutcome] = []
        self.networks = 0
        """Number of networks in the multirun."""
        self.labels: dict[tuple[str, ...], str] = {}
        """Overrides of a job -> the words that tell it from others of the same network."""
        self._folders: dict[str, list[Sequence[str]]] = {}
        self.error: Exception | None = None
        """Error of the one evaluation: kept, because Hydra prints a line of its own for one that is raised."""

    def __getstate__(self) -> dict[str, object]:
        # In another process, the task knows of its own network alone.
        return Task().__dict__ | {"labels": self.labels}

    def __call__(self, config: DictConfig) -> NetworkOutcome | None:
        """Measures one network; without `-m` an error is kept in `error`, with it every error is an outcome."""
        from esr.multirun import resume  # noqa: PLC0415 - `--cfg job` and completion measure nothing
        from esr.multirun.overview import Overview  # noqa: PLC0415

        hydra = HydraConfig.get()
        folder = Path(hydra.runtime.output_dir)
        if hydra.mode is not RunMode.MULTIRUN:
            try:
                self._evaluate(config, folder)
            except Exception as error:  # the caller of Hydra raises it
                self.error = error
                if isinstance(error, EsrError) and not isinstance(error, EvaluationFailed):
                    folders.forget(folder)
            return None
        label = self.labels.get(_key(hydra.overrides.task), "")
        if self.overview is None:
            with (overview := Overview(1)):
                return resume.one_of_many(config, folder, overview, label)
        outcome = resume.one_of_many(config, folder, self.overview, label)
        self.end(outcome)
        return outcome

    def _evaluate(self, config: DictConfig, folder: Path) -> None:
        from esr.evaluation.evaluate import evaluate  # noqa: PLC0415 - see `__call__`
        from esr.report.record_table import print_record  # noqa: PLC0415
        from esr.system.console import StageBars, console  # noqa: PLC0415

        settings = composition.check(config)
        with StageBars() as bars:
            record = evaluate(settings, folder, bars)
        if self.as_json:
            print(indented(record.document))
        else:
            print_record(record, console(), "everything" if self.verbose else "first look")
        networks = (record.candidate, record.baseline)
        failed = [f"{one.name} failed ({one.failure.kind}: {one.failure.message})" for one in networks if one.failure]
        if failed:
            raise EvaluationFailed(f"{'; '.join(failed)}; the record holds what was measured")

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
            ConfigError: The command names a choice that does not exist, or no network, no job can be composed, or two
                would write one folder; nothing was measured yet.
        """
        self.labels |= labels(jobs)
        networks, self.networks = self.networks, 0  # nothing to sum up where an error ends all
        folders_of = self._folders
        sound: list[Sequence[str]] = []
        refused: list[tuple[Sequence[str], EsrError]] = []
        for overrides in jobs:
            try:
                with in_one_line(overrides):
                    sweep = composition.require_network(compose(overrides)).hydra.sweep
                    folder = f"{sweep.dir}/{sweep.subdir}"
                sound.append(overrides)
                folders_of.setdefault(folder, []).append(overrides)
            except EsrError as error:
                if isinstance(error.__cause__, MissingConfigException):
                    raise
                refused.append((overrides, error))
        if refused and not sound:
            raise refused[0][1]
        for folder, several in folders_of.items():
            if len(several) > 1:
                raise ConfigError(_meeting(several, folder))
        self.networks = networks
        for overrides, reason in refused:
            self.end(NetworkOutcome(self.network(overrides), "refused", str(reason), None))
        return sound

    @staticmethod
    def network(overrides: Sequence[str]) -> str:
        """Name of a network of which only the overrides are known.

        >>> Task.network(["model=submissions/mine.yaml", "data=set5"])
        'mine'
        """
        chosen = _model(overrides)
        return Path(chosen).stem if chosen else " ".join(overrides)

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
        if self.as_json:
            print(indented([_plain(outcome) for outcome in self.outcomes]))
        else:
            print(printable("\n".join(summary(self.outcomes, self.networks))))
        if used := [outcome.folder for outcome in self.outcomes if outcome.folder]:
            folders.link_latest(used[-1].parent)
        states = {outcome.status for outcome in self.outcomes}
        if states == {"refused"}:
            return EsrError.exit_code
        return EvaluationFailed.exit_code if states & {"failed", "refused"} else 0


def _meeting(jobs: Sequence[Sequence[str]], folder: str) -> str:
    """The message on jobs that would write one folder."""
    chosen = (word for job in jobs for word in (_model(job), *(one for one in job if one.startswith("+model"))) if word)
    return (
        f"{' and '.join(map(one_line, chosen))}: one submission {len(jobs)} times, with records in one folder, "
        f"{shown_path(folder)}; name each one once, or give them different weights, arguments or YAMLs"
    )


def labels(jobs: Sequence[Sequence[str]]) -> dict[tuple[str, ...], str]:
    """Words that tell jobs of one network apart: the folder of its YAML, and what a sweep varies.

    >>> list(labels([["model=a/net.yaml", "data=set5"], ["model=b/net.yaml", "data=set5"]]).values())
    ['a', 'b']
    >>> list(labels([["model=rlfn", "weights=one.pth"], ["model=rlfn", "weights=two.pth"]]).values())
    ['weights=one.pth', 'weights=two.pth']
    >>> list(labels([["model=rlfn", "weights=a/w.pth"], ["model=rlfn", "weights=b/w.pth"]]).values())
    ['weights=a/w.pth', 'weights=b/w.pth']
    """
    shared = set.intersection(*(set(job) for job in jobs)) if jobs else set()
    paths: dict[str, set[str]] = {}
    for job in jobs:
        paths.setdefault(Path(_model(job)).stem, set()).add(_model(job))
    names = Counter(Path(_value(word)).name for word in {word for job in jobs for word in job})
    found = {}
    for job in jobs:
        chosen = _model(job)
        folder = [str(Path(chosen).parent)] if len(paths[Path(chosen).stem]) > 1 else []
        varied = [f"{word.partition('=')[0].rpartition('.')[2]}={_value(word) if names[name] > 1 else name}"
                  for word in job if word not in shared and not word.startswith("model=")
                  for name in [Path(_value(word)).name]]  # fmt: skip
        found[_key(job)] = " ".join(folder + varied)
    return found


def _key(overrides: Sequence[str]) -> tuple[str, ...]:
    """A job's overrides as Hydra gives them back: without its own, in any order."""
    return tuple(sorted(str(word) for word in overrides if not str(word).lstrip("+~").startswith("hydra")))


def _model(overrides: Sequence[str]) -> str:
    return next((_value(word) for word in reversed(overrides) if word.startswith("model=")), "")


def _value(override: str) -> str:
    value = override.partition("=")[2]
    return unquoted(value) if value[:1] in ("'", '"') else value


def _plain(outcome: NetworkOutcome) -> dict[str, object]:
    folder = str(shown_path(outcome.folder)) if outcome.folder else None
    return {**asdict(outcome), "folder": folder}
