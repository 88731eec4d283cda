"""The terminal, or a pipe of a fixed width."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 160
"""Columns if there is no terminal to ask."""


def console() -> "Console":
    """Rich's console on standard output; `COLUMNS` overrides its width."""
    from rich.console import Console  # noqa: PLC0415 - `--help` does without it

    screen = Console(highlight=False)
    if not screen.is_terminal and "COLUMNS" not in os.environ:
        screen.width = PIPED_WIDTH
    return screen
