"""The terminal: one console, one width for pipes and files, and bars while long work goes on."""

import io
import os
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from rich import progress as bars
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from esr.text import printable

Shown = TypeVar("Shown", bound="Bars")

TITLE = bars.TextColumn("{task.description}", markup=False)
"""A bar's description; a column keeps no state."""
_MARGIN = re.compile("· |[⁰¹²³⁴-⁹]+ | +")
PIPED_WIDTH = 160
"""Columns where no terminal states its width; `COLUMNS` overrides it."""


class _Console(Console):
    """A console that prints nobody's terminal escapes but its own."""

    def render_str(self, text: str, **style: Any) -> Text:
        """As rich's, of the printable part; what is indented, a note or a footnote keeps its margin when it wraps."""
        made = super().render_str(printable(text), **style)
        margin = _MARGIN.match(text)
        if not margin or "\n" in text or cell_len(text) <= self.width:
            return made
        lines = made[margin.end() :].wrap(self, self.width - margin.end(), overflow="fold")
        return Text(margin[0]) + Text("\n" + " " * margin.end()).join(lines)


def console(*, stderr: bool = False) -> Console:
    """A console on standard output or error; markup and emoji codes in strings are printed as they are."""
    made = _Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = PIPED_WIDTH
    return made


def captured(draw: Callable[[Console], None], width: int = PIPED_WIDTH) -> str:
    r"""The plain text that a function prints, for a file.

    >>> captured(lambda screen: screen.print("[b]one[/b]"))
    '[b]one[/b]\n'
    """
    screen = _Console(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)
    with screen.capture() as printed:
        draw(screen)
    return printed.get()


class Bars:
    """Bars that show while the block runs, if the console is a terminal; a context manager."""

    def __init__(self, screen: Console, *columns: bars.ProgressColumn) -> None:
        self.screen = screen
        self.live = bars.Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal)

    def __enter__(self: Shown) -> Shown:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()


class StageBars(Bars):
    """A bar for the current stage, on standard error; an `esr.system.progress.Progress`."""

    def __init__(self, screen: Console | None = None) -> None:
        done = bars.MofNCompleteColumn(), bars.TimeElapsedColumn()
        super().__init__(screen or console(stderr=True), bars.SpinnerColumn(), TITLE, bars.BarColumn(), *done)
        self._stage: bars.TaskID | None = None

    def stage(self, title: str, steps: int | None) -> None:
        """Replaces the bar of the stage before."""
        self.end_stage()
        self._stage = self.live.add_task(printable(title), total=steps)

    def end_stage(self) -> None:
        """Removes the bar."""
        if self._stage is not None:
            self.live.remove_task(self._stage)
            self._stage = None

    def advance(self, steps: int = 1) -> None:
        """Moves the bar on."""
        if self._stage is not None:
            self.live.advance(self._stage, steps)

    def at(self, done: int, steps: int | None) -> None:
        """Moves the bar to a step."""
        if self._stage is not None:
            self.live.update(self._stage, completed=done, total=steps)

    def waiting(self, what: str) -> None:
        """A stage of its own; where no terminal shows it, a line."""
        if self.screen.is_terminal:
            self.stage(f"waiting: {what}", None)
        else:
            self.screen.print(f"esr: waiting since {datetime.now().astimezone():%H:%M}: {what}", soft_wrap=True)
