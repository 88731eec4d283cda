"""The rule that ends the rounds."""

from collections.abc import Sequence
from math import ceil

from esr.config.terms import MOST_ROUNDS, Ending
from esr.records.document import Precision
from esr.records.intervals import fewest_rounds
from esr.records.network import Estimate
from esr.timing.plan import FEWEST_PROCESSES, Plan
from esr.timing.statistics import Array, ratio

GROWTH = 1.1
"""Rounds at one look over those at the look before; looking more often makes an interval narrow by chance likelier."""


def precision(ratio_now: Estimate, target: float, stopped_by: Ending) -> Precision:
    """The record's account of how narrow the ratio's interval became.

    >>> precision(Estimate(0.5, 0.375, 0.625), 0.005, "rounds").width
    0.5
    """
    width = ratio_now.width
    return Precision(target, width, width is not None and width <= target, stopped_by)


def ended_by(candidate: Array, baseline: Array, elapsed_s: float, plan: Plan, share_s: float) -> Ending | None:
    """Reason to end a process's rounds now; `None`: go on.

    The interval is looked at after numbers of rounds that grow geometrically, and has to be narrow enough at two looks
    in succession, so that one that is narrow by chance does not end a run.

    Args:
        candidate: Milliseconds of the complete rounds so far, rounds × images.
        baseline: The same rounds and images.
        elapsed_s: Seconds since the first round began.
        plan: Number of rounds, or precision.
        share_s: Time limit of this process.
    """
    rounds = len(candidate)
    late = elapsed_s >= share_s or rounds >= MOST_ROUNDS // plan.processes
    if plan.rounds is not None:
        return "rounds" if rounds >= plan.rounds else "max_seconds" if late else None
    looks = _looks(max(plan.min_rounds, fewest_rounds(plan.confidence)), rounds)[-2:]
    if len(looks) > 1 and looks[-1] == rounds:
        widths = [ratio(candidate[:count], baseline[:count], plan.confidence).width for count in looks]
        if all(width is not None and width < plan.own_precision for width in widths):
            return "precision"
    return "max_seconds" if late else None


def agreed(candidate: Array, baseline: Array, groups: Sequence[int], plan: Plan) -> bool:
    """True if the processes so far agree so well that no further one is needed.

    Args:
        candidate: Milliseconds of the complete rounds so far, rounds × images.
        baseline: The same rounds and images.
        groups: Process of each round.
        plan: Precision, and number of processes.
    """
    if plan.rounds is not None or len(set(groups)) < FEWEST_PROCESSES:
        return False
    width = ratio(candidate, baseline, plan.strict_confidence(), groups).width
    return width is not None and width < plan.precision


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
