"""Progress of a multirun on the terminal."""

import time
from datetime import datetime, timedelta

from rich.console import Console

from esr.multirun.outcomes import NetworkOutcome
from esr.system.console import StageBars
from esr.text import duration


def until(seconds: float, now: datetime | None = None) -> str:
    """The time that is left, and the time of day at its end; another day is named.

    >>> until(5400.0, datetime(2026, 1, 30, 20, 0)), until(18000.0, datetime(2026, 1, 30, 20, 0))
    ('about 90 min left, until 21:30', 'about 5 h 0 min left, until Sat 01:00')
    """
    now = now or datetime.now().astimezone()
    end = now + timedelta(seconds=seconds)
    return f"about {duration(seconds)} left, until {end:{'%H:%M' if end.date() == now.date() else '%a %H:%M'}}"


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
        self._since = self._start = time.monotonic()

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
        left = self._seconds / self._measured * (self._networks - self._ended) if self._measured else 0.0
        elapsed = duration(now - self._start)
        rest = f"{elapsed} elapsed" + (f", {until(left)}" if left else "")
        times = "; ".join(filter(None, (duration(outcome.seconds) if tried else "", rest)))
        stopped = outcome.status in ("failed", "refused")  # the summary has the whole reason
        detail = outcome.reason.partition("; ")[0] if stopped else outcome.detail
        line = f"{self._ended}/{self._networks} {outcome.network}: {outcome.status}, {detail}"
        self.screen.print(f"{line} ({times})", soft_wrap=True, style="red" if stopped else None)
        self.live.update(self._all, completed=self._ended, description=f"networks, {rest}")
        self.end_stage()
