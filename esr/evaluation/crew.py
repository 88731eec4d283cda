"""Workers of both networks; the next pair is started ahead, and runs only in times when no clock does."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from esr.config.terms import Role
from esr.evaluation.worker.parent import Worker
from esr.sandbox.process import Wishes


@dataclass(frozen=True)
class Start:
    """Everything that a network's workers are started with."""

    timeout_s: float
    wishes: Wishes
    packages: Path | None = None


@dataclass
class Crew:
    """Fresh pairs of workers, of which one at most waits for its turn; a context manager that leaves none behind."""

    starts: Mapping[Role, Start]
    _waiting: dict[Role, Worker] = field(default_factory=dict)

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        waiting, self._waiting = self._waiting, {}
        for worker in waiting.values():
            worker.__exit__(KeyboardInterrupt, None, None)  # killed: it has nothing to finish

    def start(self, order: Sequence[Role]) -> None:
        """Starts the next pair, unless it waits already; it imports torch by itself.

        Args:
            order: Who starts first.
        """
        for role in order:
            if role not in self._waiting:
                start = self.starts[role]
                self._waiting[role] = Worker(start.timeout_s, start.wishes, start.packages)

    def without_network(self) -> Worker:
        """A worker besides the pairs, for what needs no network's code; whoever asks for it ends it."""
        start = self.starts["baseline"]
        return Worker(start.timeout_s, start.wishes)

    @contextmanager
    def ahead(self, order: Sequence[Role]) -> Iterator[None]:
        """Lets the next pair run while no clock does; afterwards it is stopped until its turn.

        Args:
            order: Who starts first.
        """
        self.start(order)
        for worker in self._waiting.values():
            worker.resume()
        yield
        for worker in self._waiting.values():  # not after an error, which ends them: they may not have started yet
            worker.pause()

    def take(self, order: Sequence[Role]) -> Mapping[Role, Worker]:
        """The next pair, running; whoever takes it ends it."""
        self.start(order)
        taken, self._waiting = self._waiting, {}
        for worker in taken.values():
            worker.resume()
        return taken
