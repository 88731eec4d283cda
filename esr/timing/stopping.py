"""The rule that ends the rounds."""

from esr.config.schema import TimingConf
from esr.config.terms import MOST_ROUNDS, Ending
from esr.records.document import Precision
from esr.records.network import Estimate
from esr.records.recompute import fewest_rounds
from esr.timing.statistics import Array, ratio

LOOKS = 999
"""Bootstrap resamples for the decision; the reported interval takes `timing.resamples`."""


def precision(ratio_now: Estimate, target: float, stopped_by: Ending) -> Precision:
    """The record's account of how narrow the ratio's interval became.

    >>> precision(Estimate(0.5, 0.375, 0.625), 0.005, "rounds").width
    0.5
    """
    width = ratio_now.width
    return Precision(target, width, width is not None and width <= target, stopped_by)


def ended_by(candidate: Array, baseline: Array, elapsed_s: float, timing: TimingConf) -> Ending | None:
    """Reason to end the rounds now; `None`: go on.

    The interval has to be narrow enough both with and without the last round, so that one look that is narrow by
    chance does not end a run.

    Args:
        candidate: Milliseconds of the complete rounds so far, rounds × images.
        baseline: The same rounds and images.
        elapsed_s: Seconds since the first round began.
        timing: Number of rounds, or precision and time limit.
    """
    rounds = len(candidate)
    if timing.rounds is not None:
        return "rounds" if rounds >= timing.rounds else None
    if rounds > max(timing.min_rounds, fewest_rounds(timing.confidence)):
        looks = (
            ratio(candidate[:count], baseline[:count], timing.confidence, LOOKS, timing.seed).width
            for count in (rounds, rounds - 1)
        )
        if all(look is not None and look < timing.precision for look in looks):
            return "precision"
    return "max_seconds" if elapsed_s >= timing.max_seconds or rounds >= MOST_ROUNDS // timing.processes else None
