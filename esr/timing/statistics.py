"""Estimates and intervals from raw samples: every figure of a record can be recomputed with these functions."""

from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from esr.records.document import Dependence, Timing
from esr.records.network import Estimate, Samples
from esr.timing.samples import SampleColumns

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Groups: TypeAlias = Sequence[int] | None
"""Process of each round; `None`: all of one process."""
Interval: TypeAlias = Callable[[Sequence[Array], float], tuple[float, float, float]]
"""From each process's rounds and a confidence to distances below and above their centre, and the quantile in them."""

OUTLIER = 3.5
"""Modified z-score above which a pass is flagged (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993)."""
_MAD_TO_SIGMA = 1.4826
DEPENDENT = 0.3
"""Correlation of neighbouring rounds above which a record says so."""
_MOST_CORRELATION = 0.9
"""Rounds that depend more strongly on each other would need a longer run than any."""
_LAGS = 200
_LEAST = 1e-9
"""Lower end of an interval that would include zero."""


def fewest_rounds(confidence: float) -> int:
    """Least number of rounds for an interval: n values span their median with probability 1 − 2^(1 − n).

    >>> fewest_rounds(0.95), fewest_rounds(0.99)
    (6, 8)
    """
    return int(np.ceil(1 - np.log2(1 - confidence)))


def small_sample_quantile(confidence: float, rounds: int) -> float:
    """Half-width in bootstrap standard errors of an interval that keeps its coverage with few rounds.

    Student's t, and the population's formula undone (Hesterberg, The American Statistician 2015).

    >>> round(small_sample_quantile(0.95, 10), 2)
    2.38
    """
    from scipy.special import stdtrit  # noqa: PLC0415 - see `_bootstrap`

    return float(stdtrit(rounds - 1, (1 + confidence) / 2) * np.sqrt(rounds / (rounds - 1)))


def matrix(
    samples: Samples | SampleColumns,
    rounds: int,
    images: int,
    replaced: Collection[int] = (),
    values: Sequence[float] | None = None,
) -> Array:
    """Milliseconds, or other values, as rounds × images; NaN where no pass was timed.

    Args:
        samples: Every timed pass.
        rounds: Rows.
        images: Columns.
        replaced: Blocks that were measured again, and so do not count.
        values: One for each pass; `None`: its milliseconds.
    """
    table = np.full((rounds, images), np.nan)
    counts = ~np.isin(samples.block, list(replaced))
    rows, columns = (np.asarray(column, int)[counts] for column in (samples.round, samples.image))
    table[rows, columns] = np.asarray(samples.ms if values is None else values, float)[counts]
    return table


def complete_rounds(*tables: Array) -> Mask:
    """Mask of the rounds in which every table holds a value for every image."""
    return np.asarray(np.all([np.isfinite(table).all(axis=1) for table in tables], axis=0))


def outliers(images: Sequence[int], ms: Sequence[float]) -> list[bool]:
    """Flags of the passes far from the median of their image; they are kept in every estimate.

    >>> outliers([0, 0, 0, 0, 1], [1.0, 1.1, 0.9, 9.0, 9.0])
    [False, False, False, True, False]
    """
    image, value = np.asarray(images, int), np.asarray(ms, float)
    flagged = np.zeros(len(value), bool)
    for one in np.unique(image):
        mine = image == one
        distance = np.abs(value[mine] - np.median(value[mine]))
        flagged[mine] = distance > OUTLIER * _MAD_TO_SIGMA * max(np.median(distance), 1e-9)
    return [bool(flag) for flag in flagged]


def runtime_ms(table: Array, confidence: float, groups: Groups = None) -> Estimate:
    """Mean over the images of each image's median over the rounds.

    Args:
        table: Milliseconds, rounds × images.
        confidence: Level of the interval, such as 0.95.
        groups: Process of each round; `None`: all of one process.
    """
    value = float(np.median(table, axis=0).mean())
    # The median of the rounds' means varies as this figure does.
    return _estimate(value, table.mean(axis=1), confidence, groups, _about_median)


def ratio(candidate: Array, baseline: Array, confidence: float, groups: Groups = None) -> Estimate:
    """Robust ratio: median over the rounds of candidate / baseline, each summed over the images.

    Of several processes, each of which may run at a speed of its own, it is the mean of their medians.

    Args:
        candidate: Milliseconds, rounds × images.
        baseline: The same rounds and images.
        confidence: Level of the interval, such as 0.95.
        groups: Process of each round; `None`: all of one process.
    """
    per_round = ratio_per_round(candidate, baseline)
    value = float(np.mean([np.median(part) for part in _parts(per_round, groups)]))
    return _estimate(value, per_round, confidence, groups, _about_median)


def ratio_plain(candidate: Array, baseline: Array, confidence: float, groups: Groups = None) -> Estimate:
    """Ratio of total times, outliers included in full; arguments as in `ratio`."""
    ours, theirs = candidate.sum(axis=1), baseline.sum(axis=1)
    value = float(ours.sum() / theirs.sum())
    # Each round's influence on the quotient, to the first order.
    return _estimate(value, value + (ours - value * theirs) / theirs.mean(), confidence, groups, _about_mean)


def ratio_per_round(candidate: Array, baseline: Array) -> Array:
    """Candidate / baseline in each round, each summed over the images.

    >>> ratio_per_round(np.array([[1.0, 2.0]]), np.array([[2.0, 4.0]])).tolist()
    [0.5]
    """
    return np.asarray(candidate.sum(axis=1) / baseline.sum(axis=1))


def spreads(per_round: Sequence[float], groups: Sequence[int]) -> tuple[float | None, float | None]:
    """Relative standard deviations: of rounds within a process (pooled), and of the processes' medians.

    >>> within, between = spreads([1.0, 1.0, 1.1, 1.1], [0, 0, 1, 1])
    >>> within, round(between, 4)
    (0.0, 0.0673)
    """
    values, process = np.asarray(per_round, float), np.asarray(groups, int)
    parts = [values[process == one] for one in np.unique(process)]
    freedom = sum(len(part) - 1 for part in parts)
    squares = sum(float(((part - part.mean()) ** 2).sum()) for part in parts)
    within = float(np.sqrt(squares / freedom) / values.mean()) if freedom else None
    medians = [float(np.median(part)) for part in parts]
    between = float(np.std(medians, ddof=1) / np.mean(medians)) if len(parts) > 1 else None
    return within, between


def dependence(per_round: Array, groups: Groups = None) -> Dependence:
    """Correlation of successive rounds' ratios, and the number of independent rounds they are worth.

    Args:
        per_round: `ratio_per_round`.
        groups: Process of each round; `None`: all of one process.
    """
    signs = [np.sign(part - np.median(part)) for part in _parts(per_round, groups)]
    correlation, most = _serial(signs)
    return Dependence(correlation, len(per_round) / _signs_inflation(most))


def dependent(timing: Timing) -> str | None:
    """Sign that successive rounds depend on each other more than by chance; `None`: there is none."""
    found, rounds = timing.dependence, len(timing.ratio_per_round)
    if found is None or found.correlation < max(DEPENDENT, 2 / np.sqrt(rounds)):
        return None
    independent = f"{rounds} rounds are worth {found.independent_rounds:.0f} independent ones"
    return f"correlation of neighbouring rounds {found.correlation:.2f}: {independent}"


def _parts(values: Array, groups: Groups) -> list[Array]:
    """The values of each process."""
    if groups is None:
        return [values]
    process = np.asarray(groups, int)
    return [values[process == one] for one in np.unique(process)]


def _serial(parts: Sequence[Array]) -> tuple[float, float]:
    """Lag-1 correlation within the parts, estimated and at most (by one standard error).

    The upper bound counts: with few rounds a correlation that matters is easily missed.
    """
    centred = [part - part.mean() for part in parts]
    rounds, squares = sum(map(len, centred)), sum(float((part**2).sum()) for part in centred)
    if squares == 0:
        return 0.0, 0.0
    found = sum(float((part[1:] * part[:-1]).sum()) for part in centred) / squares
    found += (1 + 4 * max(found, 0.0)) * len(parts) / rounds  # the estimate's bias, to the first order (Kendall 1954)
    found = float(np.clip(found, -1.0, 1.0))
    return found, float(np.clip(found + np.sqrt((1 - found**2) / rounds), 0.0, _MOST_CORRELATION))


def _signs_inflation(correlation: float) -> float:
    """Factor by which the correlation of neighbouring signs enlarges the variance of their mean.

    The values behind the signs are taken as a Gaussian autoregressive process of correlation sin(π/2 · r), whose
    powers' arc sines are the correlations of signs further apart (Kedem, Biometrika 1980).

    >>> _signs_inflation(0.0), round(_signs_inflation(1 / 3), 2)
    (1.0, 2.31)
    """
    powers = np.sin(np.pi / 2 * correlation) ** np.arange(1, _LAGS)
    return float(1 + 4 / np.pi * np.arcsin(powers).sum())


def _estimate(value: float, per_round: Array, confidence: float, groups: Groups, about: Interval) -> Estimate:
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
        centres = [float(np.median(part) if about is _about_median else part.mean()) for part in parts]
        explained = ((below + above) / 2 / quantile) ** 2 * (count - 2) / (2 * (count - 1))
        unexplained = max(float(np.var(centres, ddof=1)) / count - explained, 0.0)
        between = _t(confidence, count - 1) * np.sqrt(unexplained)
        below, above = np.hypot(below, between), np.hypot(above, between)
    return Estimate(value, max(float(value - below), _LEAST), float(value + above))


def _about_median(parts: Sequence[Array], confidence: float) -> tuple[float, float, float]:
    """Distances from the median to both ends of its interval, by order statistics, and the quantile they stand for.

    Free of any assumption on the noise. The number of values about the median varies as that of independent ones does,
    but for the correlation of their signs; never beyond the smallest and largest value, which with few rounds is all
    that they can say.
    """
    residuals = [part - np.median(part) for part in parts]
    rounds = sum(map(len, parts))
    inflation = _signs_inflation(_serial([np.sign(part) for part in residuals])[1])
    quantile = _t(confidence, max(rounds / inflation - len(parts), 1.0))
    places = quantile * np.sqrt(rounds * inflation) / 2
    ordered, middle = np.sort(np.concatenate(residuals)), (rounds - 1) / 2
    low, high = np.interp([middle - places, middle + places], np.arange(rounds), ordered)
    return max(-float(low), 0.0), max(float(high), 0.0), quantile


def _about_mean(parts: Sequence[Array], confidence: float) -> tuple[float, float, float]:
    """Student's t about the mean, twice, and its quantile; otherwise as `_about_median`."""
    residuals = [part - part.mean() for part in parts]
    rounds = sum(map(len, parts))
    correlation = _serial(residuals)[1]
    inflation = (1 + correlation) / (1 - correlation)  # an autoregressive process's
    quantile = _t(confidence, max(rounds / inflation - len(parts), 1.0))
    variance = sum(float((part**2).sum()) for part in residuals) / max(rounds - len(parts), 1)
    half = quantile * float(np.sqrt(variance * inflation / rounds))
    return half, half, quantile


def _t(confidence: float, freedom: float) -> float:
    """Quantile of Student's t for a two-sided interval."""
    from scipy.special import stdtrit  # noqa: PLC0415 - takes a second, which a run that fails should not wait for

    return float(stdtrit(freedom, (1 + confidence) / 2))
