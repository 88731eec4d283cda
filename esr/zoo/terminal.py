"""What `esr fetch` shows: bars on a terminal, plain lines into a pipe, and the list of what there is."""

import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from esr.zoo.catalogue import Thing
from esr.zoo.fetch import Outcome, present

PIPED_WIDTH = 200
"""Columns of the list where there is no terminal to ask: room for a path."""


class Screen:
    """Shows what happens; a `Watcher`, to be entered before."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._lock = threading.Lock()
        self._told: set[tuple[str, str]] = set()
        self._tasks: dict[str, TaskID] = {}
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )

    def __enter__(self) -> "Screen":
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    def at(self, thing: Thing, what: str, done: int, total: int | None) -> None:
        """Moves the thing's bar; in a pipe, says once what is being done."""
        text = f"{thing.name}: {what}"
        with self._lock:
            if self._console.is_terminal:
                if thing.name not in self._tasks:
                    self._tasks[thing.name] = self._bars.add_task(escape(text), total=None)
                task = self._tasks[thing.name]
                self._bars.update(task, description=escape(text), completed=done, total=total)
            elif what.startswith(("fetching", "waiting")) and (thing.name, what) not in self._told:
                self._told.add((thing.name, what))
                print(f"{text} ({size(total)})" if total else text, file=sys.stderr, flush=True)

    def finished(self, outcome: Outcome) -> None:
        """Prints the thing's line: where it is to standard output, why it is not as an error."""
        with self._lock:
            if outcome.thing.name in self._tasks:
                self._bars.remove_task(self._tasks.pop(outcome.thing.name))
            if outcome.path is None:
                self._say(f"esr: {outcome.line}", error=True)
            else:
                self._say(f"{outcome.thing.name}: {outcome.path} ({outcome.line})")

    def _say(self, line: str, *, error: bool = False) -> None:
        """Above the bars where there are any."""
        if self._console.is_terminal and (error or sys.stdout.isatty()):
            self._bars.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr if error else sys.stdout, flush=True)


def listing(things: Sequence[Thing], folder: Path | None) -> None:
    """Prints what there is, how large, under which licence, and where it is if it is."""
    table = Table(title="What `esr fetch` can fetch", title_justify="left")
    for column in ("name", "kind"):
        table.add_column(column, no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("licence", overflow="fold")
    table.add_column("where it is", overflow="fold")
    for thing in things:
        path = present(thing, folder)
        where = (
            str(path) if path else "not here" if _placed(thing) else f"not here; by hand, see {thing.page}"
        )
        cells = (thing.name, thing.kind, size(thing.bytes), thing.licence or "not stated", where)
        table.add_row(*map(escape, cells))
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = PIPED_WIDTH
    console.print(table, highlight=False)


def size(count: int | None) -> str:
    """Bytes for people.

    >>> size(448993893), size(3589744), size(None)
    ('449.0 MB', '3.6 MB', 'not known')
    """
    return "not known" if count is None else f"{count / 1e6:,.1f} MB"


def _placed(thing: Thing) -> bool:
    return all(file.url for file in thing.files)
