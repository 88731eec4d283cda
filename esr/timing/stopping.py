"""The rule that ends the rounds."""

from math import ceil

from esr.config.schema import TimingConf
from esr.config.terms import Ending
from esr.records.document import Precision
from esr.records.network import Estimate
from esr.timing.statistics import Array, fewest_rounds, ratio

GROWTH = 1.1
"""Rounds at one look over those at the look before; looking more often makes an interval narrow by chance likelier."""


def precision(ratio_now: Estimate, target: float, stopped_by: Ending) -> Precision:
    """The record's account of how narrow the ratio's interval became.

    >>> precision(Estimate(0.5, 0.375, 0.625), 0.005, "rounds").width
    0.5
    """
    width = ratio_now.width
    return Precision(target, width, width is not None and width <= target, stopped_by)


def ended_by(candidate: Array, baseline: Array, elapsed_s: float, timing: TimingConf) -> Ending | None:
    """Reason to end the rounds now; `None`: go on.

    The interval is looked at after numbers of rounds that grow geometrically, and has to be narrow enough at two looks
    in succession, so that one that is narrow by chance does not end a run.

    Args:
        candidate: Milliseconds of the complete rounds so far, rounds × images.
        baseline: The same rounds and images.
        elapsed_s: Seconds since the first round began.
        timing: Number of rounds, or precision and time limit.
    """
    rounds = len(candidate)
    if timing.rounds is not None:
        return "rounds" if rounds >= timing.rounds else None
    looks = _looks(max(timing.min_rounds, fewest_rounds(timing.confidence)), rounds)[-2:]
    if len(looks) > 1 and looks[-1] == rounds:
        widths = [ratio(candidate[:count], baseline[:count], timing.confidence).width for count in looks]
        if all(width is not None and width < timing.precision for width in widths):
            return "precision"
    return "max_seconds" if elapsed_s >= timing.max_seconds else None


def _looks(first: int, last: int) -> list[int]:
    """Numbers of rounds after which the interval is looked at.

    >>> _looks(10, 16)
    [10, 11, 13, 15]
    """
    looks = []
    while first <= last:
        looks.append(first)
        first = max(first + 1, ceil(first * GROWTH))
    return looks
