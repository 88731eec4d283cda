"""Progress of a long piece of work, for whatever shows it."""

from typing import Protocol


class Progress(Protocol):
    """Receives each stage and each step in it."""

    def stage(self, title: str, steps: int | None) -> None:
        """Begins a stage with a number of steps; `None`: not known beforehand."""

    def advance(self, steps: int = 1) -> None:
        """Adds steps to those that are done."""

    def waiting(self, what: str) -> None:
        """Says what is waited for; called at once, and again each minute."""

    def at(self, done: int, steps: int | None) -> None:
        """Sets the number of steps that are done, and of all."""


class Silent:
    """Shows nothing, as the Python API does."""

    def stage(self, title: str, steps: int | None) -> None:
        """See `Progress`."""

    def advance(self, steps: int = 1) -> None:
        """See `Progress`."""

    def at(self, done: int, steps: int | None) -> None:
        """See `Progress`."""

    def waiting(self, what: str) -> None:
        """See `Progress`."""
