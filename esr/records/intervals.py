"""Estimates with intervals by order statistics and Student's t, which allow for rounds that depend on each other.

Plain Python: for the few dozen rounds of a usual record that is several times as fast as numpy, and a record's readers
recompute every interval.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import compress
from operator import mul
from typing import TypeAlias

from esr.records.document import Dependence
from esr.records.network import Estimate

Values: TypeAlias = Sequence[float]
Groups: TypeAlias = Sequence[int] | None
"""Process of each round; `None`: all of one process."""
Interval: TypeAlias = Callable[[Sequence[tuple[float, ...]], float], tuple[float, float, float]]
"""From each process's rounds and a confidence to distances below and above their centre, and the quantile in them."""

_MOST_CORRELATION = 0.9
"""Rounds that depend more strongly on each other would need a longer run than any."""
_LAGS = 200
_LEAST = 1e-9
"""Lower end of an interval that would include zero."""
_TIE = 1e-9
"""Relative distance from the median within which a value is on neither side: sums in another order differ by less."""


def fewest_rounds(confidence: float) -> int:
    """Least number of rounds for an interval: n values span their median with probability 1 − 2^(1 − n).

    >>> fewest_rounds(0.95), fewest_rounds(0.99)
    (6, 8)
    """
    return math.ceil(1 - math.log2(1 - confidence))


def of_runtime(value: float, means: Values, confidence: float, groups: Groups = None) -> Estimate:
    """A mean of the images' medians; its interval is that of the median of the rounds' means, which varies alike.

    Args:
        value: The figure.
        means: Mean over the images in each round.
        confidence: Level of the interval, such as 0.95.
        groups: Process of each round; `None`: all of one process.
    """
    return _estimate(value, means, confidence, groups, _about_median)


def of_ratio(per_round: Values, confidence: float, groups: Groups = None) -> Estimate:
    """Median over the rounds; of several processes, the mean of their medians. Arguments as in `of_runtime`."""
    medians = [_sides(part)[1] for part in _parts(per_round, groups)]
    return _estimate(sum(medians) / len(medians), per_round, confidence, groups, _about_median)


def of_totals(candidate: Values, baseline: Values, confidence: float, groups: Groups = None) -> Estimate:
    """Quotient of two networks' total times over the same rounds; other arguments as in `of_runtime`."""
    total = sum(baseline)
    value, mean = sum(candidate) / total, total / len(baseline)
    # Each round's influence on the quotient, to the first order.
    influences = [value + (ours - value * theirs) / mean for ours, theirs in zip(candidate, baseline, strict=True)]
    return _estimate(value, influences, confidence, groups, _about_mean)


def dependence(per_round: Values, groups: Groups = None) -> Dependence:
    """Correlation of successive rounds' ratios, and the number of independent rounds they are worth.

    Args:
        per_round: Ratio of each round.
        groups: Process of each round; `None`: all of one process.
    """
    correlation, most, _ = _serial_signs(tuple([_sides(part)[2] for part in _parts(per_round, groups)]))
    return Dependence(correlation, len(per_round) / _signs_inflation(most))


def median(ordered: Values) -> float:
    """Median of sorted values.

    >>> median([1.0, 2.0, 4.0]), median([1.0, 2.0])
    (2.0, 1.5)
    """
    count = len(ordered)
    return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2


def _parts(values: Values, groups: Groups) -> list[tuple[float, ...]]:
    """The values of each process."""
    processes = set(groups or ())
    if groups is None or len(processes) == 1:
        return [tuple(values)]
    return [tuple(compress(values, (process == one for process in groups))) for one in sorted(processes)]


@lru_cache(maxsize=16)
def _sides(part: tuple[float, ...]) -> tuple[Values, float, tuple[int, ...]]:
    """Values in order, their median, and each one's side of it: −1, 0 or 1. Several figures are of the same rounds."""
    ordered = sorted(part)
    middle = median(ordered)
    slack = _TIE * abs(middle)
    low, high = middle - slack, middle + slack
    return ordered, middle, tuple([(value > high) - (value < low) for value in part])


def _serial(parts: Sequence[Values]) -> tuple[float, float, float]:
    """Lag-1 correlation within the parts, estimated and at most (by one standard error), and their sum of squares.

    The upper bound counts: with few rounds a correlation that matters is easily missed.
    """
    rounds, squares, products = 0, 0.0, 0.0
    for part in parts:
        mean = sum(part) / len(part)
        centred = [value - mean for value in part]
        rounds += len(part)
        squares += sum(map(mul, centred, centred))
        products += sum(map(mul, centred, centred[1:]))
    if squares == 0:
        return 0.0, 0.0, squares
    found = products / squares
    found += (1 + 4 * max(found, 0.0)) * len(parts) / rounds  # the estimate's bias, to the first order (Kendall 1954)
    found = min(max(found, -1.0), 1.0)
    return found, min(max(found + math.sqrt((1 - found**2) / rounds), 0.0), _MOST_CORRELATION), squares


_serial_signs = lru_cache(maxsize=256)(_serial)
"""The same of sides of the median: those of few rounds recur in many records."""


@lru_cache(maxsize=4096)
def _signs_inflation(correlation: float) -> float:
    """Factor by which the correlation of neighbouring signs enlarges the variance of their mean.

    The values behind the signs are taken as a Gaussian autoregressive process of correlation sin(π/2 · r), whose
    powers' arc sines are the correlations of signs further apart (Kedem, Biometrika 1980).

    >>> _signs_inflation(0.0), round(_signs_inflation(1 / 3), 2)
    (1.0, 2.31)
    """
    base = math.sin(math.pi / 2 * correlation)
    return 1 + 4 / math.pi * sum([math.asin(base**lag) for lag in range(1, _LAGS)])


def _estimate(value: float, per_round: Values, confidence: float, groups: Groups, about: Interval) -> Estimate:
    """The figure with its interval, whose shape is that of the rounds about their centre.

    Rounds of one process: the interval of `about`. Of several: to its square comes that of Student's t over the
    processes' centres, less what the rounds alone would explain of their scatter. Less of it is taken away the fewer
    processes there are, and nothing for two: the scatter of a few centres is known too poorly.
    """
    if len(per_round) < fewest_rounds(confidence):
        return Estimate(value)
    parts = _parts(per_round, groups)
    below, above, quantile = about(parts, confidence)
    count = len(parts)
    if count > 1:
        centres = [_sides(part)[1] if about is _about_median else sum(part) / len(part) for part in parts]
        centre = sum(centres) / count
        variance = sum([(one - centre) ** 2 for one in centres]) / (count - 1)
        explained = ((below + above) / 2 / quantile) ** 2 * (count - 2) / (2 * (count - 1))
        between = student_t(confidence, count - 1) * math.sqrt(max(variance / count - explained, 0.0))
        below, above = math.hypot(below, between), math.hypot(above, between)
    return Estimate(value, max(value - below, _LEAST), value + above)


def _about_median(parts: Sequence[tuple[float, ...]], confidence: float) -> tuple[float, float, float]:
    """Distances from the median to both ends of its interval, by order statistics, and the quantile they stand for.

    Free of any assumption on the noise. The number of values about the median varies as that of independent ones does,
    but for the correlation of their signs; never beyond the smallest and largest value, which with few rounds is all
    that they can say.
    """
    found = [*map(_sides, parts)]
    residuals = [value - middle for ordered, middle, _ in found for value in ordered]
    rounds = len(residuals)
    if len(parts) > 1:
        residuals.sort()
    inflation = _signs_inflation(_serial_signs(tuple([sides for *_, sides in found]))[1])
    quantile = student_t(confidence, max(rounds / inflation - len(parts), 1.0))
    places, centre = quantile * math.sqrt(rounds * inflation) / 2, (rounds - 1) / 2
    low, high = _between(residuals, centre - places), _between(residuals, centre + places)
    return max(-low, 0.0), max(high, 0.0), quantile


def _between(ordered: Values, place: float) -> float:
    """The value at a place of sorted ones, interpolated; the first or the last one beyond them.

    >>> _between([1.0, 2.0, 4.0], 1.5), _between([1.0, 2.0], -3.0)
    (3.0, 1.0)
    """
    last = len(ordered) - 1
    place = min(max(place, 0.0), last)
    below = int(place)
    return ordered[below] + (ordered[min(below + 1, last)] - ordered[below]) * (place - below)


def _about_mean(parts: Sequence[tuple[float, ...]], confidence: float) -> tuple[float, float, float]:
    """Student's t about the mean, twice, and its quantile; otherwise as `_about_median`."""
    _, correlation, squares = _serial(parts)
    inflation = (1 + correlation) / (1 - correlation)  # an autoregressive process's
    rounds = sum(map(len, parts))
    quantile = student_t(confidence, max(rounds / inflation - len(parts), 1.0))
    variance = squares / max(rounds - len(parts), 1)
    half = quantile * math.sqrt(variance * inflation / rounds)
    return half, half, quantile


@lru_cache(maxsize=4096)
def student_t(confidence: float, freedom: float) -> float:
    """Quantile of Student's t for a two-sided interval."""
    from scipy.special import stdtrit  # noqa: PLC0415 - a slow import, which a failed run does without

    return float(stdtrit(freedom, (1 + confidence) / 2))
