"""Rank ranges by runtime, and brackets of networks whose runtimes cannot be told apart.

Two networks stand in a certain order if the interval of their ratios' difference excludes zero. Its ends follow from
those of the two ratios (Zou and Donner, Statistics in Medicine 2008), which allow for few and dependent rounds and for
processes that disagree; beyond their own confidence they are continued as normal ones.
"""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from msgspec.structs import astuple
from scipy.special import ndtri

from esr.ranking.structures import Interval, Ranges
from esr.timing.statistics import Array

CONFIDENCE = 0.95
_MOST_STEPPED = 2000
"""Networks up to which Holm's step down is taken; with more, its first step decides, which is a little wider."""


class Uncertainty(msgspec.Struct, frozen=True):
    """Uncertainty of the order; one item per network, in the order given."""

    intervals: list[tuple[int, int] | None]
    """Lowest and highest rank; `None` without an interval of the ratio."""
    brackets: list[tuple[int, ...]]
    """Numbers of the brackets each belongs to."""


class Measured(msgspec.Struct, frozen=True):
    """A network's runtime over the baseline's."""

    ratio: float
    low: float
    high: float
    confidence: float = CONFIDENCE
    known: bool = True
    """False where the ratio has no interval, and `low` and `high` are the ratio."""


class _Order(msgspec.Struct, frozen=True):
    """Networks in the order of their ratios."""

    ratio: Array
    below: Array
    """Square of the distance to the interval's lower end, in quantiles of the normal distribution."""
    above: Array


def uncertainty(networks: Sequence[Measured], ranges: Ranges = "together") -> Uncertainty:
    """Ranges of ranks, and brackets.

    Args:
        networks: In any order.
        ranges: `together`: the chance that any of the certain orders is wrong is 5 % at most (Holm, Scandinavian
            Journal of Statistics 1979), so that all ranges hold at once (Klein, Wright and Wieczorek, Journal of the
            Royal Statistical Society A 2020). `one_by_one`: 5 % for each order.
    """
    by_ratio = sorted(range(len(networks)), key=lambda index: (networks[index].ratio, index))
    ordered = [networks[index] for index in by_ratio]
    unit = ndtri((1 + np.array([one.confidence for one in ordered])) / 2)
    ends = np.array([(one.low, one.ratio, one.high) for one in ordered]).reshape(-1, 3).T
    low, ratio, high = ends / ends.max(initial=1.0)  # no square overflows
    order = _Order(ratio, ((ratio - low) / unit) ** 2, ((high - ratio) / unit) ** 2)
    quantile, faster, slower = _certain(order, ranges)
    intervals: list[tuple[int, int] | None] = [None] * len(networks)
    brackets: list[tuple[int, ...]] = [()] * len(networks)
    known = [place for place, one in enumerate(ordered) if one.known]
    for place in known:
        intervals[by_ratio[place]] = int(faster[place]) + 1, len(networks) - int(slower[place])
    for number, places in enumerate(_runs(order, known, quantile)):
        for place in places:
            brackets[by_ratio[place]] += (number,)
    return Uncertainty(intervals, brackets)


def _certain(order: _Order, ranges: Ranges) -> tuple[float, Array, Array]:
    """The quantile at which orders are certain, and for each network how many are certainly faster and slower."""
    count = len(order.ratio)
    pairs, certain = count * (count - 1) // 2, 0
    while True:
        asked = max(pairs - certain, 1) if ranges == "together" else 1
        quantile = float(ndtri(1 - (1 - CONFIDENCE) / (2 * asked)))
        faster, slower = _counts(order, quantile)
        found = int(faster.sum())
        if ranges == "one_by_one" or found in (certain, pairs) or count > _MOST_STEPPED:
            return quantile, faster, slower
        certain = found


def _counts(order: _Order, quantile: float) -> tuple[Array, Array]:
    ratio, below, above = order.ratio, order.below * quantile**2, order.above * quantile**2
    faster, slower = np.zeros(count := len(ratio)), np.zeros(count)
    # Beyond this place, none is too uncertain to be told apart.
    reach = ratio + np.sqrt(above + below.max(initial=0.0))
    ends = np.maximum(np.searchsorted(ratio, reach, side="right"), np.arange(1, count + 1))
    for place, end in enumerate(ends.tolist()):
        distance = ratio[place + 1 : end] - ratio[place]
        apart = distance * distance > below[place + 1 : end] + above[place]
        faster[place + 1 : end] += apart
        slower[place] = np.count_nonzero(apart) + count - end
    return faster + np.cumsum(np.bincount(ends, minlength=count + 1)[:count]), slower


def _runs(order: _Order, known: Sequence[int], quantile: float) -> list[Sequence[int]]:
    """Longest runs, by ratio, whose first and last network cannot be told apart."""
    ratio, below, above = (column.tolist() for column in astuple(order))

    def apart(faster: int, slower: int) -> bool:
        distance = ratio[slower] - ratio[faster]
        return bool(distance * distance > (below[slower] + above[faster]) * quantile**2)

    runs: list[Sequence[int]] = []
    end = 0
    for start in range(len(known)):
        last = max(end, start)
        while last + 1 < len(known) and not apart(known[start], known[last + 1]):
            last += 1
        if last > max(end, start):
            runs.append(known[start : last + 1])
        end = max(end, last)
    return runs


def measured(ratio: float, interval: Interval | None, confidence: float = CONFIDENCE) -> Measured:
    """A ratio with its interval, or without one."""
    if interval is None or not math.isfinite(interval.high - interval.low):
        return Measured(ratio, ratio, ratio, known=False)
    return Measured(ratio, min(interval.low, ratio), max(interval.high, ratio), confidence)
