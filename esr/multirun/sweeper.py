"""Hydra's own sweeper, but for one thing; `esr.multirun.task.register` imports it once Hydra has loaded its plugins."""

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class Sweeper(BasicSweeper):
    """Runs every combination of what is listed."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Leaves it to `esr.multirun.task.Task.composable`: a configuration that is broken stops no other network."""
