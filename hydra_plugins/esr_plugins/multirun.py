"""The sweeper and the default launcher of a multirun."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, configure_log, setup_globals
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from esr.errors import ConfigError
from hydra_plugins.esr_plugins._base import NetworkLauncher

MOST_JOBS = 10_000
"""Networks of one multirun."""


class Every(Sweeper):
    """Runs every combination of the listed choices; a broken configuration does not stop the others."""

    def __init__(self, max_batch_size: int | None = None, params: Mapping[str, Any] | None = None) -> None:
        self.max_batch_size = max_batch_size
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Takes what Hydra hands over and sets the launcher up."""
        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> list[Sequence[JobReturn]]:
        """Launches all combinations, `max_batch_size` at a time."""
        assert self.hydra_context and self.config and self.launcher  # noqa: S101, PT018 - Hydra has called `setup`
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        swept = [f"{key}={value}" for key, value in self.params.items()]
        jobs = combinations(parser.parse_overrides([*swept, *arguments]))
        size = self.max_batch_size or max(1, len(jobs))
        returned = []
        for start in range(0, max(1, len(jobs)), size):
            returned.append(self.launcher.launch(jobs[start : start + size], initial_job_idx=start))
            for job in returned[-1]:
                _ = job.return_value  # raises what ended the job
        return returned


def combinations(overrides: Sequence[Override]) -> list[list[str]]:
    """Overrides of each job; of a key that is given twice the last one holds."""
    choices: dict[str, list[str]] = {}
    for override in overrides:
        key = override.get_key_element()
        if override.is_sweep_override():
            choices[key] = [f"{key}={value}" for value in _values(override)]
        else:
            choices[key] = [str(override.input_line)]
    if math.prod(map(len, choices.values())) > MOST_JOBS:
        raise ConfigError(f"a sweep of more than {MOST_JOBS} networks; name fewer, or shorter ranges")
    return [list(job) for job in itertools.product(*choices.values())]


def _values(override: Override) -> list[str]:
    """The choices of a sweep.

    Raises:
        ConfigError: There are too many, or they never end.
    """
    swept = override.value()
    endless = isinstance(swept, RangeSweep) and not _is_short(swept)
    values = [] if endless else list(itertools.islice(override.sweep_string_iterator(), MOST_JOBS + 1))
    if endless or len(values) > MOST_JOBS:
        raise ConfigError(f"{override.input_line}: more than {MOST_JOBS} choices; name fewer, or a shorter range")
    return values


def _is_short(swept: RangeSweep) -> bool:
    start, stop, step = (float(number or 0) for number in (swept.start, swept.stop, swept.step))
    return step != 0 and abs(stop - start) / abs(step) <= MOST_JOBS


class Sequential(NetworkLauncher):
    """One network after the other in this process, with an overview."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Runs the networks.

        Raises:
            ConfigError: There are none, or the command names a choice that does not exist.
        """
        setup_globals()
        returned = []
        with self.task.watched(len(job_overrides)):
            for number, overrides in enumerate(self.sound(job_overrides), initial_job_idx):
                returned.append(self.run(overrides, number, number))
                configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        return returned
