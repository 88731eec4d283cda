"""What Hydra runs: one evaluation, or with `-m` one after the other, shown and summed up."""

import contextlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.errors import HydraException, MissingConfigException
from hydra.plugins.plugin import Plugin
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from esr.config import compose as composition
from esr.config import digest as naming
from esr.errors import ConfigError, EsrError, EvaluationFailed

if TYPE_CHECKING:
    from esr.multirun.overview import Outcome, Overview

LAUNCHER = "hydra/launcher="
CLUSTER = ("slurm", "submitit_local")
"""Launchers in `conf/hydra/launcher` that need the extra `cluster`."""


MULTIRUN, LATEST = "multirun", "latest"
"""Folder of all multiruns in `conf/config.yaml`, and in it a link to the one that ran last."""


class Task:
    """What Hydra calls for each configuration, here or in another process; collects what came of them."""

    def __init__(self) -> None:
        self.overview: Overview | None = None
        self.outcomes: list[Outcome] = []
        self.networks = 0
        """How many a multirun was asked for."""
        self.error: Exception | None = None
        """What ended the one evaluation: kept, because of a raised one Hydra prints a line of its own."""

    def __getstate__(self) -> dict[str, Any]:
        # A process elsewhere knows of its own network alone.
        return Task().__dict__

    def __call__(self, config: DictConfig) -> "Outcome | None":
        """Measures one network; without `-m` an error is kept in `error`, with it everything is an outcome."""
        from esr.multirun import resume  # noqa: PLC0415 - `--cfg job` and completion come without measuring
        from esr.multirun.overview import Overview  # noqa: PLC0415

        hydra = HydraConfig.get()
        folder = Path(hydra.runtime.output_dir)
        if hydra.mode is not RunMode.MULTIRUN:
            try:
                _evaluate(config, folder)
            except Exception as error:  # whoever called Hydra raises it
                self.error = error
            return None
        if self.overview is None:
            with Overview(1) as overview:
                return resume.one_of_many(config, folder, overview)
        outcome = resume.one_of_many(config, folder, self.overview)
        self.end(outcome)
        return outcome

    def end(self, outcome: "Outcome") -> None:
        """Notes what came of a network."""
        self.outcomes.append(outcome)
        if self.overview is not None:
            self.overview.end(outcome)

    def composable(self, launcher: Any, job_overrides: Sequence[Sequence[str]]) -> list[Sequence[str]]:
        """The networks whose configuration can be composed; that of the others, as a broken YAML, is their outcome.

        Raises:
            ConfigError: The command names what does not exist, or none can be composed; nothing was measured yet.
        """
        from esr.multirun.overview import Outcome  # noqa: PLC0415 - see `__call__`

        sound: list[Sequence[str]] = []
        refused: list[tuple[Sequence[str], EsrError]] = []
        for overrides in job_overrides:
            try:
                launcher.hydra_context.config_loader.load_sweep_config(launcher.config, list(overrides))
            except MissingConfigException as error:
                self.networks = 0  # of nothing a summary is needed
                raise composition.explain(error, overrides) from error
            except EsrError as error:
                refused.append((overrides, error))
            except (HydraException, OmegaConfBaseException) as error:
                refused.append((overrides, composition.explain(error, overrides)))
            else:
                sound.append(overrides)
        if refused and not sound:
            self.networks = 0
            raise refused[0][1]
        for overrides, reason in refused:
            self.end(Outcome(self.network(overrides), "refused", str(reason), None))
        return sound

    @staticmethod
    def network(overrides: Sequence[str]) -> str:
        """What a network is called of which there are only overrides."""
        chosen = [word.partition("=")[2] for word in overrides if word.startswith("model=")]
        return Path(chosen[-1]).stem if chosen else " ".join(overrides)

    @contextmanager
    def watched(self, networks: int) -> Iterator[None]:
        """Shows how so many networks get on.

        Raises:
            ConfigError: There are none.
        """
        from esr.multirun.overview import Overview  # noqa: PLC0415 - see `__call__`

        if not networks:
            raise ConfigError("no network matches; esr show lists them")
        self.networks += networks
        try:
            with Overview(networks) as self.overview:
                yield
        finally:
            self.overview = None

    def close(self) -> int:
        """Prints what came of a multirun; the exit code: 0, 1 where a network failed, 2 where none could begin."""
        if not self.networks:
            return 0
        from esr.multirun.overview import summary  # noqa: PLC0415 - see `__call__`

        print("\n".join(summary(self.outcomes, self.networks)))
        if folders := [outcome.folder for outcome in self.outcomes if outcome.folder]:
            _link(folders[-1].parent)
        states = {outcome.status for outcome in self.outcomes}
        if states == {"refused"}:
            return EsrError.exit_code
        return EvaluationFailed.exit_code if states & {"failed", "refused"} else 0


def _link(folder: Path) -> None:
    """Lets `multirun/latest` lead to a multirun's folder, for whoever ranks it next."""
    if folder.parent.name != MULTIRUN:
        return
    link = folder.with_name(f".latest-{os.getpid()}")
    with contextlib.suppress(OSError):  # a convenience, which not every file system offers
        link.symlink_to(folder.name, target_is_directory=True)
        link.replace(folder.with_name(LATEST))


def _evaluate(config: DictConfig, folder: Path) -> None:
    from esr.evaluation.evaluate import evaluate  # noqa: PLC0415 - see `Task.__call__`
    from esr.config.schema import EsrConf, typed  # noqa: PLC0415 - see `Task.__call__`
    from esr.report.terminal import Bar, print_record  # noqa: PLC0415

    checked = composition.check(config)
    with Bar() as bar:
        record = evaluate(typed(EsrConf, checked), folder, bar)
    print_record(record)
    if record.failures:
        failed = "; ".join(
            f"{entry['network']} failed ({entry['kind']}: {entry['message']})" for entry in record.failures
        )
        raise EvaluationFailed(f"{failed}; the record holds what was measured")


class Sequential(BasicLauncher):
    """Hydra's own launcher, one network after the other in this process, with an overview."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Runs the networks."""
        task: Any = self.task_function
        with task.watched(len(job_overrides)):
            return super().launch(task.composable(self, job_overrides), initial_job_idx)


def register(words: Sequence[str] = ()) -> None:
    """Makes known to Hydra what `conf/config.yaml` names: the launchers and the names of a multirun's folders.

    Args:
        words: The command line.

    Raises:
        ConfigError: A launcher was asked for whose extra is not installed.
    """
    naming.register()
    add_plugin(Sequential)
    # Hydra executes its plugins' modules when it looks for them, which it now has.
    from esr.multirun.sweeper import Sweeper  # noqa: PLC0415 - a class of theirs imported before is none of theirs

    add_plugin(Sweeper)
    asked = [word.removeprefix(LAUNCHER) for word in words if word.startswith(LAUNCHER)]
    if asked and asked[-1] in CLUSTER:
        if importlib.util.find_spec("submitit") is None:
            raise ConfigError(f"{LAUNCHER}{asked[-1]}: submitit is not installed; pip install 'esr[cluster]'")
        from esr.multirun import cluster  # noqa: PLC0415 - an extra

        add_plugin(cluster.Slurm)
        add_plugin(cluster.SubmititLocal)
        # Hydra would hold our file against the schema that the plugin keeps under the same name.
        ConfigStore.instance().repo["hydra"]["launcher"].pop("submitit_local.yaml", None)


def add_plugin(plugin: type[Plugin]) -> None:
    """Lets a configuration name a class as `hydra_plugins.esr.CLASS`; Hydra takes no other module for a plugin's."""
    Plugins.instance().class_name_to_class[f"hydra_plugins.esr.{plugin.__name__}"] = plugin
