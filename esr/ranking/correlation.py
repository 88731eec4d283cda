"""How well a count predicts runtime: rank correlations over the networks, with bootstrap intervals."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from esr.ranking.challenge import METRICS, Metric
from esr.ranking.structures import Correlation, Entry, Interval
from esr.timing.statistics import Array

FEWEST_NETWORKS = 4
"""With fewer there is no correlation worth the name."""
FEWEST_FOR_INTERVAL = 10
"""Resamples of fewer networks repeat each other."""
MOST_NETWORKS = 1000
"""With more the interval is narrow, and the resampling's matrices would be large: it is left out."""
RESAMPLES = 1000
_TAIL = 0.025


def correlations(entries: Sequence[Entry], seed: int) -> tuple[Correlation, ...]:
    """Spearman's rho and Kendall's tau-b of runtime with each other metric, over networks that have both."""
    found = []
    for metric in METRICS:
        pairs = [
            (entry.figures.ratio, entry.figures.metric(metric))
            for entry in entries
            if entry.figures.ratio is not None and entry.figures.metric(metric) is not None
        ]
        if metric != "runtime" and len(pairs) >= FEWEST_NETWORKS:
            runtime, other = np.asarray(pairs, float).T
            if np.ptp(runtime) and np.ptp(other):
                found.append(_correlation(metric, runtime, other, seed))
    return tuple(found)


def _correlation(metric: Metric, runtime: Array, other: Array, seed: int) -> Correlation:
    count = len(runtime)
    rho, tau = spearman(runtime, other), kendall(runtime, other)
    if not FEWEST_FOR_INTERVAL <= count <= MOST_NETWORKS:
        return Correlation(metric, count, rho, None, tau, None)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    rhos, taus = _resampled(_signs(runtime), _signs(other), drawn.astype(np.float32))
    return Correlation(metric, count, rho, _interval(rhos), tau, _interval(taus))


def spearman(x: Array, y: Array) -> float:
    """Spearman's rho; scipy's is the same, but importing it takes longer than ranking thousands of records.

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([5.0, 6.0, 7.0]))
    1.0
    """
    return float(np.corrcoef(_midranks(x), _midranks(y))[0, 1])


def _midranks(values: Array) -> Array:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[place])


def kendall(x: Array, y: Array) -> float:
    """Kendall's tau-b, in n log n as Knight (1966) counts.

    >>> kendall(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 4.0, 3.0]))
    0.6666666666666666
    """
    pairs = len(x) * (len(x) - 1) // 2
    tied_x, tied_y, tied_both = _tied(x), _tied(y), _tied(np.stack([x, y], axis=1))
    discordant = _inversions(np.unique(y, return_inverse=True)[1][np.lexsort((y, x))])
    agreement = pairs - tied_x - tied_y + tied_both - 2 * discordant
    return float(agreement / np.sqrt(float(pairs - tied_x) * float(pairs - tied_y)))


def _tied(values: Array) -> int:
    """Pairs of equal values, or rows."""
    counts = np.unique(values, axis=0, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def _inversions(ranks: npt.NDArray[np.int64]) -> int:
    """Pairs of which the first is larger: counted where the highest bit in which they differ stands."""
    found = 0
    for bit in range(int(ranks.max()).bit_length()):
        grouped = ranks[np.argsort(ranks >> (bit + 1), kind="stable")]
        group, larger = grouped >> (bit + 1), (grouped >> bit) & 1
        before = np.cumsum(larger) - larger
        since = before - before[np.searchsorted(group, group)]
        found += int(since[larger == 0].sum())
    return found


def _signs(values: Array) -> npt.NDArray[np.float32]:
    return np.sign(values[:, None] - values[None, :]).astype(np.float32)


def _resampled(
    x: npt.NDArray[np.float32], y: npt.NDArray[np.float32], drawn: npt.NDArray[np.float32]
) -> tuple[Array, Array]:
    """Both coefficients of every resample, from the signs of all differences.

    A resample is how often each network was drawn (resamples × networks). Its centred mid-ranks are half the weighted
    row sums of the signs, and tau-b is their weighted product; so one matrix product serves all resamples.
    """

    def product(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> Array:
        return np.asarray(np.einsum("bi,bi->b", drawn @ (left * right), drawn, dtype=float))

    rank_x, rank_y = drawn @ x, drawn @ y

    def moment(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> Array:
        return np.asarray(np.einsum("bi,bi,bi->b", drawn, left, right, dtype=float))

    with np.errstate(invalid="ignore"):
        rho = moment(rank_x, rank_y) / np.sqrt(moment(rank_x, rank_x) * moment(rank_y, rank_y))
        tau = product(x, y) / np.sqrt(product(x, x) * product(y, y))
    return rho, tau


def _interval(values: Array) -> Interval | None:
    # A resample may hold one network only, which has no correlation.
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [_TAIL, 1 - _TAIL])
    return Interval(float(low), float(high))
