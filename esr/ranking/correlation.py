"""Rank correlations of runtime with each count over the networks, with bootstrap intervals."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from esr.ranking.challenge import Metric
from esr.ranking.structures import Correlation, Entry, Interval, field_of
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
        name = field_of(metric)
        figures = [(entry.figures.ratio, getattr(entry.figures, name)) for entry in entries]
        pairs = np.array(figures, float).reshape(-1, 2)
        runtime, other = pairs[~np.isnan(pairs).any(axis=1)].T
        if metric != "runtime" and len(runtime) >= FEWEST_NETWORKS and np.ptp(runtime) and np.ptp(other):
            found.append(_correlation(metric, runtime, other, seed))
    return tuple(found)


def _correlation(metric: Metric, runtime: Array, other: Array, seed: int) -> Correlation:
    count, rho, tau = len(runtime), spearman(runtime, other), kendall(runtime, other)
    if not FEWEST_FOR_INTERVAL <= count <= MOST_NETWORKS:
        return Correlation(metric, count, rho, None, tau, None)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    rhos, taus = _resampled(_signs(runtime), _signs(other), drawn.astype(np.float32))
    return Correlation(metric, count, rho, _interval(rhos), tau, _interval(taus))


def spearman(x: Array, y: Array) -> float:
    """Spearman's rho: Pearson's coefficient of the mid-ranks."""
    return float(np.corrcoef(_mid_ranks(x), _mid_ranks(y))[0, 1])


def _mid_ranks(values: Array) -> Array:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray(np.cumsum(counts) - counts / 2)[places]


def kendall(x: Array, y: Array) -> float:
    """Kendall's tau-b, in n log n steps (Knight, JASA 1966); SciPy's takes half a second to import.

    >>> kendall(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])), kendall(np.arange(3.0), -np.arange(3.0))
    (0.3333333333333333, -1.0)
    """
    order = np.lexsort((y, x))
    x, y = x[order], y[order]
    pairs, tied = len(x) * (len(x) - 1) // 2, [_tied(np.diff(values)) for values in (x, np.sort(y))]
    both = _tied(np.hypot(np.diff(x), np.diff(y)))
    discordant = _inversions(np.searchsorted(np.unique(y), y))
    concordant = pairs - tied[0] - tied[1] + both - discordant
    return float((concordant - discordant) / np.sqrt(float(pairs - tied[0]) * float(pairs - tied[1])))


def _tied(steps: Array) -> int:
    """Pairs of equal values, from the differences of neighbours in order."""
    ends = np.flatnonzero(np.concatenate([steps != 0, [True]]))
    runs = np.diff(ends, prepend=-1)
    return int((runs * (runs - 1) // 2).sum())


def _inversions(places: npt.NDArray[np.int64]) -> int:
    """Pairs of which the larger comes first: a radix sort counts, bit by bit, the ones that stand before zeros."""
    found = 0
    for shift in range(int(places.max()).bit_length() - 1, -1, -1):
        group, bit = places >> (shift + 1), (places >> shift) & 1
        before = np.cumsum(bit)
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        earlier = np.concatenate([[0], before])[starts]
        found += int(((before - np.repeat(earlier, np.diff(starts, append=len(places)))) * (1 - bit)).sum())
        places = places[np.argsort(places >> shift, kind="stable")]
    return found


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
