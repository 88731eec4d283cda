"""The terminal: one console, one width for pipes and files, and bars while long work goes on."""

import io
import os
from collections.abc import Callable

from rich import progress as bars
from rich.console import Console

PIPED_WIDTH = 160
"""Columns where no terminal states its width; `COLUMNS` overrides it."""


def console(*, stderr: bool = False) -> Console:
    """A console on standard output or error; markup and emoji codes in strings are printed as they are."""
    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = PIPED_WIDTH
    return made


def captured(draw: Callable[[Console], None], width: int = PIPED_WIDTH) -> str:
    r"""The plain text that a function prints, for a file.

    >>> captured(lambda screen: screen.print("[b]one[/b]"))
    '[b]one[/b]\n'
    """
    screen = Console(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)
    with screen.capture() as printed:
        draw(screen)
    return printed.get()


class StageBars:
    """A bar for the current stage, on standard error where that is a terminal; a context manager.

    Implements `esr.system.progress.Progress`.
    """

    def __init__(self, screen: Console | None = None) -> None:
        self.screen = screen or console(stderr=True)
        self.live = bars.Progress(
            bars.SpinnerColumn(),
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TimeElapsedColumn(),
            console=self.screen,
            transient=True,
            disable=not self.screen.is_terminal,
        )
        self._stage: bars.TaskID | None = None

    def __enter__(self) -> "StageBars":
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def stage(self, title: str, steps: int | None) -> None:
        """Replaces the bar of the stage before."""
        self.end_stage()
        self._stage = self.live.add_task(title, total=steps)

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
