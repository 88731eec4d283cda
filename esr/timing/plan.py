"""The timing of one evaluation with nothing left open: what the configuration leaves to the device is decided here."""

from dataclasses import dataclass
from math import sqrt

from esr.config.schema import TimingConf

GPU_PRECISION, CPU_PRECISION = 0.005, 0.05
"""Width of the ratio's interval that a default run reaches on a quiet machine, as a fraction of the ratio."""
CPU_PROCESSES = 4
"""The layout of a process's address space is worth a percent on a CPU, and only fresh processes show it."""
FEWEST_PROCESSES = 3
"""Processes after which those that agree may end the timing: two say too little about their scatter."""


@dataclass(frozen=True)
class Plan:
    """Rounds, precision and time of the processes."""

    rounds: int | None
    """Of each process; `None`: until the precision is reached."""
    precision: float
    min_rounds: int
    max_seconds: float
    """Of rounds, in all processes together."""
    processes: int
    """At most."""
    confidence: float
    seed: int

    @property
    def own_precision(self) -> float:
        """Width at which one process ends its rounds: of the mean of all, that is a part of the target."""
        return self.precision / sqrt(self.processes)

    def share(self, done: int, spent_s: float) -> float:
        """Seconds of rounds for the next process: an equal part of what is left.

        Args:
            done: Processes that have ended.
            spent_s: Seconds that their rounds took.
        """
        return max(0.0, self.max_seconds - spent_s) / max(1, self.processes - done)

    def strict_confidence(self) -> float:
        """Confidence at which the processes so far are looked at; stricter the more looks there are (Bonferroni)."""
        return 1 - (1 - self.confidence) / max(1, self.processes - FEWEST_PROCESSES + 1)


def decide(conf: TimingConf, *, on_gpu: bool, seed: int) -> Plan:
    """The plan that a configuration means on a device.

    Args:
        conf: The configuration.
        on_gpu: The networks run on a GPU.
        seed: Of this run's orders, as given or drawn.
    """
    several = CPU_PROCESSES if not on_gpu and conf.rounds is None else 1
    return Plan(
        rounds=conf.rounds,
        precision=conf.precision or (GPU_PRECISION if on_gpu else CPU_PRECISION),
        min_rounds=conf.min_rounds,
        max_seconds=conf.max_seconds,
        processes=conf.processes or several,
        confidence=conf.confidence,
        seed=seed,
    )
