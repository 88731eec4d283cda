"""When enough rounds have been measured."""

from dataclasses import dataclass
from typing import Any

from esr.config.schema import TimingConf
from esr.timing.statistics import Array, Estimate, fewest_rounds, ratio

LOOKS = 999
"""Bootstrap resamples for deciding; the reported interval takes `timing.resamples`."""


@dataclass(frozen=True)
class Precision:
    """How narrow the ratio's interval became, and what ended the rounds."""

    target: float
    width: float | None
    """(high − low) / value; none where there are too few rounds for an interval."""
    stopped_by: str
    """`precision`, `max_seconds`, or `rounds` where their number was given."""

    @property
    def reached(self) -> bool:
        """Whether the interval is narrower than the target."""
        return self.width is not None and self.width <= self.target

    def as_dict(self) -> dict[str, Any]:
        """For the record."""
        return {
            "target": self.target,
            "width": self.width,
            "reached": self.reached,
            "stopped_by": self.stopped_by,
        }


def width(estimate: Estimate) -> float | None:
    """An interval's width relative to its estimate; none where there is none.

    >>> width(Estimate(0.5, 0.375, 0.625))
    0.5
    """
    if estimate.low is None or estimate.high is None:
        return None
    return (estimate.high - estimate.low) / estimate.value


def ended_by(candidate: Array, baseline: Array, elapsed_s: float, timing: TimingConf) -> str | None:
    """What ends the rounds now: `rounds`, `precision`, `max_seconds`, or nothing yet.

    The interval has to be narrow enough with the last round and without it: one lucky look does not end a run.

    Args:
        candidate: Milliseconds of the complete rounds so far, rounds × images.
        baseline: The same rounds and images.
        elapsed_s: Seconds since the first round began.
        timing: The rule.
    """
    rounds = len(candidate)
    if timing.rounds is not None:
        return "rounds" if rounds >= timing.rounds else None
    if rounds > max(timing.min_rounds, fewest_rounds(timing.confidence)):
        looks = (
            width(ratio(candidate[:count], baseline[:count], timing.confidence, LOOKS, timing.seed))
            for count in (rounds, rounds - 1)
        )
        if all(look is not None and look < timing.precision for look in looks):
            return "precision"
    return "max_seconds" if elapsed_s >= timing.max_seconds else None
