"""How a multirun stands while it runs, and what came of it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn

_MINUTE, _HOUR = 60, 3600
_MOST_NAMES = 5
"""Networks of one reason that are named; the reason stands in each one's folder, too."""


@dataclass(frozen=True)
class Outcome:
    """What came of one network."""

    network: str
    status: Literal["measured", "skipped", "failed", "refused"]
    """`failed` while it was measured, `refused` before that."""
    detail: str
    """Its figures, or the reason."""
    folder: Path | None
    """Where its records lie; none: its configuration does not tell."""
    tainted: bool = False
    seconds: float = 0.0


def time_left(seconds: float, measured: int, left: int) -> float | None:
    """Seconds for the rest, at the pace so far; none before anything was measured.

    >>> time_left(120.0, 2, 10)
    600.0
    """
    return seconds / measured * left if measured else None


def duration(seconds: float) -> str:
    """In words, rounded.

    >>> duration(42), duration(600), duration(9000)
    ('42 s', '10 min', '2 h 30 min')
    """
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    hours, rest = divmod(round(seconds / _MINUTE), _MINUTE)
    return f"{hours} h {rest} min"


class Overview:
    """A line for each network that is done and, on a terminal, bars for the rest; a context manager.

    It is also told of the stages of the network being measured: see `esr.system.progress.Progress`.
    """

    def __init__(self, networks: int, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._live = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._networks = networks
        self._all = self._live.add_task("networks", total=networks)
        self._stage: TaskID | None = None
        self._network = ""
        self._ended = 0
        self._measured = 0
        self._seconds = 0.0
        self._since = time.monotonic()

    def __enter__(self) -> "Overview":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def begin(self, network: str) -> None:
        """A network's turn has come."""
        self._network = network

    def end(self, outcome: Outcome) -> None:
        """A network is done."""
        now = time.monotonic()
        self._ended += 1
        if outcome.status in ("measured", "failed"):
            self._measured += 1
            self._seconds += now - self._since  # not its own time: several may be measured at once
        self._since = now
        left = time_left(self._seconds, self._measured, self._networks - self._ended)
        rest = f"about {duration(left)} left" if left else ""
        took = duration(outcome.seconds) if outcome.status in ("measured", "failed") else ""
        times = "; ".join(filter(None, (took, rest)))
        line = f"{self._ended}/{self._networks} {outcome.network}: {outcome.status}, {outcome.detail}"
        self._console.print(
            f"{line} ({times})" if times else line, markup=False, highlight=False, soft_wrap=True
        )
        self._live.update(
            self._all, completed=self._ended, description=", ".join(filter(None, ("networks", rest)))
        )
        self._drop_stage()

    def stage(self, title: str, steps: int | None) -> None:
        """See `esr.system.progress.Progress`."""
        self._drop_stage()
        words = title if title.startswith(self._network) else f"{self._network}: {title}"
        self._stage = self._live.add_task(escape(words), total=steps)

    def advance(self, steps: int = 1) -> None:
        """See `esr.system.progress.Progress`."""
        if self._stage is not None:
            self._live.advance(self._stage, steps)

    def at(self, done: int, steps: int | None) -> None:
        """See `esr.system.progress.Progress`."""
        if self._stage is not None:
            self._live.update(self._stage, completed=done, total=steps)

    def _drop_stage(self) -> None:
        if self._stage is not None:
            self._live.remove_task(self._stage)
            self._stage = None


def summary(outcomes: Sequence[Outcome], networks: int) -> list[str]:
    """Lines that say what came of a multirun, where its records lie and how to rank them.

    Args:
        outcomes: Of the networks whose turn came.
        networks: How many were asked for.
    """
    counts = {
        words: sum(outcome.status in states for outcome in outcomes)
        for words, states in {
            "measured": ("measured",),
            "skipped (measured before; force=true repeats)": ("skipped",),
            "failed": ("failed", "refused"),
        }.items()
    }
    counts["not begun (the same command goes on)"] = networks - len(outcomes)
    lines = [f"{networks} networks: {', '.join(f'{n} {words}' for words, n in counts.items() if n)}"]
    lines += _reasons(outcomes)
    if tainted := [outcome.network for outcome in outcomes if outcome.tainted]:
        lines.append(f"tainted, and not measured again: {', '.join(tainted)}")
    for folder in dict.fromkeys(outcome.folder.parent for outcome in outcomes if outcome.folder):
        shown = _relative(folder)
        lines += [f"records: {shown}", f"table:   esr rank {shown}"]
    return lines


def _reasons(outcomes: Sequence[Outcome]) -> list[str]:
    """Failures, those of one reason together."""
    failed = [outcome for outcome in outcomes if outcome.status in ("failed", "refused")]
    lines = []
    for reason, several in groupby(sorted(failed, key=lambda one: one.detail), key=lambda one: one.detail):
        names = [one.network for one in several]
        more = f" and {len(names) - _MOST_NAMES} more" if names[_MOST_NAMES:] else ""
        lines.append(f"failed: {', '.join(names[:_MOST_NAMES])}{more}: {reason}")
    return lines


def _relative(folder: Path) -> Path:
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
