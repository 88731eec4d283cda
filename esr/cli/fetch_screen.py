"""The output of `esr fetch`: bars on a terminal, plain lines in a pipe, and the catalogue."""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from rich import progress as bars

from esr.report.fitting import print_fitting, texts
from esr.system.console import TITLE, Bars, console
from esr.zoo.catalogue import Asset
from esr.zoo.fetch import Fetched, present


class FetchScreen(Bars):
    """Shows progress and results; an `esr.zoo.fetch.Watcher`."""

    def __init__(self) -> None:
        speed = bars.DownloadColumn(), bars.TransferSpeedColumn(), bars.TimeRemainingColumn()
        super().__init__(console(stderr=True), TITLE, bars.BarColumn(), *speed)
        self._lock = threading.Lock()
        self._announced: set[tuple[str, str]] = set()
        self._tasks: dict[str, bars.TaskID] = {}

    def at(self, asset: Asset, step: str, done: int, total: int | None) -> None:
        """Moves the asset's bar; in a pipe, prints each slow step once."""
        text = f"{asset.name}: {step}"
        with self._lock:
            if self.screen.is_terminal:
                if asset.name not in self._tasks:
                    self._tasks[asset.name] = self.live.add_task(text, total=None)
                self.live.update(self._tasks[asset.name], description=text, completed=done, total=total)
            elif step.startswith(("fetching", "waiting")) and (asset.name, step) not in self._announced:
                self._announced.add((asset.name, step))
                print(f"{text} ({size(total)})" if total else text, file=sys.stderr, flush=True)

    def finished(self, fetched: Fetched) -> None:
        """Prints the asset's path to standard output, or the error to standard error."""
        with self._lock:
            if fetched.asset.name in self._tasks:
                self.live.remove_task(self._tasks.pop(fetched.asset.name))
            if fetched.path is None:
                self._say(f"esr: {fetched.line}", error=True)
            else:
                self._say(f"{fetched.asset.name}: {fetched.path} ({fetched.line})")

    def _say(self, line: str, *, error: bool = False) -> None:
        """Prints above the bars if there are any."""
        if self.screen.is_terminal and (error or sys.stdout.isatty()):
            self.live.print(line, soft_wrap=True)
        else:
            print(line, file=sys.stderr if error else sys.stdout, flush=True)


def print_catalogue(assets: Sequence[Asset], folder: Path | None) -> None:
    """Prints each asset's size, licence and path.

    Args:
        assets: In this order.
        folder: The folder searched; `None`: the zoo folders and the data folder.
    """
    rows = []
    for asset in assets:
        by_hand = "" if all(file.url for file in asset.files) else f"; by hand, see {asset.page}"
        path = present(asset, folder) or f"not here{by_hand}"
        rows.append((asset.name, asset.kind, size(asset.bytes), asset.licence or "not stated", str(path)))
    screen = console()
    screen.print("Available from esr fetch")
    words = ("name", "kind", "licence", "path")
    print_fitting(texts(("name", "kind", "size", "licence", "path"), rows, words), screen, gap=2, sentences=words[2:])


def size(count: int | None) -> str:
    """A number of bytes for people.

    >>> size(448993893), size(3589744), size(None)
    ('449.0 MB', '3.6 MB', 'not known')
    """
    return "not known" if count is None else f"{count / 1e6:,.1f} MB"
