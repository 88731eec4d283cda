"""Rank correlations of runtime with each count over the networks, with bootstrap intervals."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from esr.ranking.challenge import Metric
from esr.ranking.structures import Correlation, Entry, Interval
from esr.timing.statistics import Array

FEWEST_NETWORKS = 4
"""Fewer networks have no meaningful correlation."""
FEWEST_FOR_INTERVAL = 10
"""Resamples of fewer networks repeat each other."""
MOST_NETWORKS = 1000
"""Networks above which the interval is omitted: it would be narrow, and the resampling's matrices large."""
RESAMPLES = 1000
_TAIL = 0.025


def correlations(entries: Sequence[Entry], metrics: Sequence[Metric], seed: int) -> tuple[Correlation, ...]:
    """Spearman's rho and Kendall's tau-b of runtime with each other metric, over networks that have both."""
    found = []
    for metric in metrics:
        pairs = [(entry.figures.ratio, entry.figures.metric(metric)) for entry in entries]
        known = [pair for pair in pairs if None not in pair]
        if metric != "runtime" and len(known) >= FEWEST_NETWORKS:
            runtime, other = np.asarray(known, float).T
            if np.ptp(runtime) and np.ptp(other):
                found.append(_correlation(metric, runtime, other, seed))
    return tuple(found)


def _correlation(metric: Metric, runtime: Array, other: Array, seed: int) -> Correlation:
    # Imported here: the import takes as long as ranking thousands of records, and small rankings do without.
    from scipy.stats import kendalltau, spearmanr  # noqa: PLC0415

    count = len(runtime)
    rho, tau = (float(found(runtime, other).statistic) for found in (spearmanr, kendalltau))
    if not FEWEST_FOR_INTERVAL <= count <= MOST_NETWORKS:
        return Correlation(metric, count, rho, None, tau, None)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    rhos, taus = _resampled(_signs(runtime), _signs(other), drawn.astype(np.float32))
    return Correlation(metric, count, rho, _interval(rhos), tau, _interval(taus))


def _signs(values: Array) -> npt.NDArray[np.float32]:
    return np.sign(values[:, None] - values[None, :]).astype(np.float32)


def _resampled(
    x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], drawn: npt.NDArray[np.float32]
) -> tuple[Array, Array]:
    """Both coefficients of every resample, from the signs of all differences.

    A resample counts how often each network was drawn (resamples × networks). Its centred mid-ranks are half the
    weighted row sums of the signs, and tau-b is their weighted product; so one matrix product serves all resamples.
    """

    def sums(*factors: npt.NDArray[np.float32]) -> Array:
        return np.asarray(np.einsum(",".join(["bi"] * len(factors)) + "->b", *factors, dtype=float))

    rank_x, rank_y = drawn @ x, drawn @ y
    rho = [sums(drawn, left, right) for left, right in ((rank_x, rank_y), (rank_x, rank_x), (rank_y, rank_y))]
    tau = [sums(drawn, drawn @ signs) for signs in (x * y, x * x, y * y)]
    with np.errstate(invalid="ignore"):
        return rho[0] / np.sqrt(rho[1] * rho[2]), tau[0] / np.sqrt(tau[1] * tau[2])


def _interval(values: Array) -> Interval | None:
    # A resample may hold one network only, which has no correlation.
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [_TAIL, 1 - _TAIL])
    return Interval(float(low), float(high))
