"""Rank ranges by runtime, and brackets of networks whose runtimes cannot be distinguished.

Every network's rounds are resampled on their own (each record is its own measurement, and pairing with the baseline is
already inside each round's ratio); each resample ranks all networks together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from esr.timing.statistics import Array, fewest_rounds, small_sample_quantile

CONFIDENCE = 0.95
MOST_RESAMPLES = 2000
FEWEST_RESAMPLES = 200
_RESAMPLES_TIMES_NETWORKS = 1_000_000
"""Limits time and memory with thousands of networks."""
_BATCH_VALUES = 4_000_000
"""Rounds drawn at once: limits memory where a record has thousands of them."""


@dataclass(frozen=True)
class Uncertainty:
    """Uncertainty of the order; one item per network, in the order given."""

    intervals: list[tuple[int, int] | None]
    """Lowest and highest rank; `None` with too few rounds."""
    brackets: list[tuple[int, ...]]
    """Numbers of the brackets each belongs to."""
    resamples: int


def resamples_for(networks: int) -> int:
    """Number of resamples for a ranking of so many networks.

    >>> resamples_for(40), resamples_for(10_000)
    (2000, 200)
    """
    return int(np.clip(_RESAMPLES_TIMES_NETWORKS // max(networks, 1), FEWEST_RESAMPLES, MOST_RESAMPLES))


def uncertainty(
    ratios: Sequence[float], rounds: Sequence[Sequence[float]], processes: Sequence[Sequence[int]], seed: int
) -> Uncertainty:
    """Intervals of ranks and brackets.

    Args:
        ratios: Each network's runtime over the baseline's.
        rounds: The same in each round.
        processes: Process of each round; empty: all of one process.
        seed: Seed of the resampling.
    """
    resamples = resamples_for(len(ratios))
    random = np.random.default_rng(seed)
    point = np.asarray(ratios, float)
    judged = np.array([len(values) >= fewest_rounds(CONFIDENCE) for values in rounds], bool)
    drawn = np.repeat(point[:, None], resamples, axis=1)
    for index, values in enumerate(rounds):
        if judged[index]:
            drawn[index] = _resampled(np.asarray(values), processes[index], ratios[index], resamples, random)
    return Uncertainty(_intervals(point, drawn, judged), _brackets(point, drawn, judged), resamples)


def _resampled(
    rounds: Array, processes: Sequence[int], ratio: float, resamples: int, random: np.random.Generator
) -> Array:
    """One network's ratio in each resample; in batches, where a record holds thousands of rounds."""
    batch = max(1, _BATCH_VALUES // len(rounds))
    medians = [
        _medians(_picked(rounds, processes, min(batch, resamples - start), random))
        for start in range(0, resamples, batch)
    ]
    away = np.concatenate(medians) - _medians(rounds[None])
    return np.asarray(ratio + away * _widening(len(rounds)))


@cache
def _widening(rounds: int) -> float:
    """Factor by which resamples of few rounds lie too close together."""
    return float(small_sample_quantile(CONFIDENCE, rounds) / ndtri((1 + CONFIDENCE) / 2))


def _picked(rounds: Array, processes: Sequence[int], resamples: int, random: np.random.Generator) -> Array:
    """Rounds drawn with replacement, resamples × rounds; with several processes, these are drawn first."""
    parts = [rounds[np.asarray(processes) == one] for one in dict.fromkeys(processes)]
    if len(parts) < 2:  # noqa: PLR2004 - one process is a bootstrap of one level
        return rounds[random.integers(len(rounds), size=(resamples, len(rounds)))]
    sizes = np.array([len(part) for part in parts])
    padded = np.array([np.resize(part, sizes.max()) for part in parts])
    chosen = random.integers(len(parts), size=(resamples, len(parts)))[:, :, None]
    within = random.random((resamples, len(parts), len(rounds) // len(parts)))
    return np.asarray(padded[chosen, (within * sizes[chosen]).astype(int)].reshape(resamples, -1))


def _medians(rows: Array) -> Array:
    """Median of each row; `numpy.median` is several times slower on thousands of small arrays."""
    ordered, count = np.sort(rows, axis=1), rows.shape[1]
    return np.asarray((ordered[:, (count - 1) // 2] + ordered[:, count // 2]) / 2)


def _intervals(point: Array, drawn: Array, judged: npt.NDArray[np.bool_]) -> list[tuple[int, int] | None]:
    order = np.argsort(drawn, axis=0, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(1, len(point) + 1)[:, None], axis=0)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(ranks, [tail, 1 - tail], axis=1, method="closest_observation")
    own = np.searchsorted(np.sort(point), point) + 1
    bounds = zip(np.minimum(low, own).tolist(), np.maximum(high, own).tolist(), judged, strict=True)
    return [(int(lowest), int(highest)) if known else None for lowest, highest, known in bounds]


def _brackets(point: Array, drawn: Array, judged: npt.NDArray[np.bool_]) -> list[tuple[int, ...]]:
    """Longest runs, by ratio, whose first and last network cannot be distinguished."""
    found: list[list[int]] = [[] for _ in point]
    order = [index for index in np.argsort(point, kind="stable") if judged[index]]
    brackets = 0
    end = 0
    for start in range(len(order)):
        last = max(end, start)
        while last + 1 < len(order) and _alike(drawn[order[start]], drawn[order[last + 1]]):
            last += 1
        if last > max(end, start):
            for index in order[start : last + 1]:
                found[index].append(brackets)
            brackets += 1
        end = max(end, last)
    return [tuple(numbers) for numbers in found]


def _alike(faster: Array, slower: Array) -> bool:
    """True if the interval of the difference includes zero."""
    return bool(np.count_nonzero(slower <= faster) > (1 - CONFIDENCE) / 2 * len(slower))
