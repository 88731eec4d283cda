"""A multirun on the terminal: its progress, and its outcomes at the end."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from esr.report.wording import duration
from esr.system.console import StageBars

_MOST_NAMES = 5
"""Networks named per reason; each one's folder holds the reason, too."""


@dataclass(frozen=True)
class NetworkOutcome:
    """The outcome of one network in a multirun."""

    network: str
    status: Literal["measured", "skipped", "failed", "refused"]
    """`failed` during the measurement, `refused` before it."""
    detail: str
    """Its figures, or the reason why there are none."""
    folder: Path | None
    """Folder of its records; `None` where its configuration is not valid."""
    tainted: bool = False
    seconds: float = 0.0


def time_left(seconds: float, measured: int, left: int) -> float | None:
    """Seconds for the rest at the pace so far; `None` before anything was measured.

    >>> time_left(120.0, 2, 10)
    600.0
    """
    return seconds / measured * left if measured else None


class Overview(StageBars):
    """A line for each finished network and, on a terminal, bars for the others; a context manager.

    Implements `esr.system.progress.Progress` for the network that is being measured.
    """

    def __init__(self, networks: int, screen: Console | None = None) -> None:
        super().__init__(screen)
        self._networks = networks
        self._all = self.live.add_task("networks", total=networks)
        self._network = ""
        self._ended = 0
        self._measured = 0
        self._seconds = 0.0
        self._since = time.monotonic()

    def begin(self, network: str) -> None:
        """Names the stages that follow after a network."""
        self._network = network

    def stage(self, title: str, steps: int | None) -> None:
        """Replaces the bar of the stage before."""
        super().stage(title if title.startswith(self._network) else f"{self._network}: {title}", steps)

    def end(self, outcome: NetworkOutcome) -> None:
        """Prints a network's line and moves the bar of all networks."""
        now = time.monotonic()
        tried = outcome.status in ("measured", "failed")
        self._ended += 1
        if tried:
            self._measured += 1
            self._seconds += now - self._since  # not its own time: several may be measured at once
        self._since = now
        left = time_left(self._seconds, self._measured, self._networks - self._ended)
        rest = f"about {duration(left)} left" if left else ""
        times = "; ".join(filter(None, (duration(outcome.seconds) if tried else "", rest)))
        line = f"{self._ended}/{self._networks} {outcome.network}: {outcome.status}, {outcome.detail}"
        self.screen.print(f"{line} ({times})" if times else line, soft_wrap=True)
        words = ", ".join(filter(None, ("networks", rest)))
        self.live.update(self._all, completed=self._ended, description=words)
        self.end_stage()


def summary(outcomes: Sequence[NetworkOutcome], networks: int) -> list[str]:
    """Lines on a multirun's outcomes, the folders of its records, and how to rank them.

    Args:
        outcomes: Of the networks that were started.
        networks: Number of networks asked for.
    """
    states = Counter("failed" if one.status == "refused" else one.status for one in outcomes)
    counts = {
        "measured": states["measured"],
        "skipped (measured before; force=true repeats)": states["skipped"],
        "failed": states["failed"],
        "not started (rerun to resume)": networks - len(outcomes),
    }
    lines = [f"{networks} networks: {', '.join(f'{n} {words}' for words, n in counts.items() if n)}"]
    lines += _failures(outcomes)
    if tainted := [outcome.network for outcome in outcomes if outcome.tainted]:
        lines.append(f"tainted, not measured again: {', '.join(tainted)}")
    for folder in dict.fromkeys(outcome.folder.parent for outcome in outcomes if outcome.folder):
        shown = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
        lines += [f"records: {shown}", f"table:   esr rank {shown}"]
    return lines


def _failures(outcomes: Sequence[NetworkOutcome]) -> list[str]:
    """One line for each reason, with the networks that it stopped."""
    failed: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.status in ("failed", "refused"):
            failed.setdefault(outcome.detail, []).append(outcome.network)
    lines = []
    for reason, names in sorted(failed.items()):
        more = f" and {len(names) - _MOST_NAMES} more" if names[_MOST_NAMES:] else ""
        lines.append(f"failed: {', '.join(names[:_MOST_NAMES])}{more}: {reason}")
    return lines
