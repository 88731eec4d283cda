"""Progress of a long piece of work, for whatever shows it."""

from typing import Protocol


class Progress(Protocol):
    """Told of each stage and of each step in it."""

    def stage(self, title: str, steps: int | None) -> None:
        """A new stage begins; it has so many steps, none: not known beforehand."""

    def advance(self, steps: int = 1) -> None:
        """So many steps of the stage are done."""

    def at(self, done: int, steps: int | None) -> None:
        """The stage has come to this step of so many."""


class Silent:
    """Tells nobody; what the Python API uses."""

    def stage(self, title: str, steps: int | None) -> None:
        """See `Progress`."""

    def advance(self, steps: int = 1) -> None:
        """See `Progress`."""

    def at(self, done: int, steps: int | None) -> None:
        """See `Progress`."""
