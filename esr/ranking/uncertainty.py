"""Rank ranges by runtime, and brackets of networks whose runtimes cannot be distinguished.

Every network's rounds are resampled on their own (each record is its own measurement, and pairing with the baseline is
already inside each round's ratio), those of as many rounds in one array; each resample ranks all networks together.
"""

from collections import defaultdict
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from esr.records.intervals import fewest_rounds
from esr.records.recompute import small_sample_quantile
from esr.timing.statistics import Array

CONFIDENCE = 0.95
MOST_RESAMPLES = 2000
FEWEST_RESAMPLES = 200
_RESAMPLES_TIMES_NETWORKS = 1_000_000
"""Limits time and memory with thousands of networks."""
_DRAWN_ROUNDS = 200
"""Rounds up to which each resample is drawn; the median of a resample of more has a known distribution."""
_BATCH_VALUES = 1_000_000
"""Rounds drawn at once: limits memory where a record has thousands of them."""


class Uncertainty(msgspec.Struct, frozen=True):
    """Uncertainty of the order; one item per network, in the order given."""

    intervals: list[tuple[int, int] | None]
    """Lowest and highest rank; `None` with too few rounds."""
    brackets: list[tuple[int, ...]]
    """Numbers of the brackets each belongs to."""


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
    drawn = np.repeat(point[:, None], resamples, axis=1)
    judged = np.zeros(len(point), bool)
    alike: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, values in enumerate(rounds):
        alike[tuple(processes[index]) or (0,) * len(values)].append(index)
    for process_of_round, networks in alike.items():
        count = len(process_of_round)
        if count < fewest_rounds(CONFIDENCE):
            continue
        judged[networks] = True
        if count > _DRAWN_ROUNDS:
            for index in networks:
                drawn[index] += _deviations_of_many(np.asarray(rounds[index]), process_of_round, resamples, random)
        else:
            together = np.array([rounds[index] for index in networks])
            drawn[networks] += _deviations(together, process_of_round, resamples, random)
    return Uncertainty(_intervals(point, drawn, judged), _brackets(point, drawn, judged))


def _deviations(rounds: Array, process_of_round: Sequence[int], resamples: int, random: np.random.Generator) -> Array:
    """Each resample's median less that of all rounds, networks × resamples, for networks × rounds."""
    batch = max(1, _BATCH_VALUES // rounds.size)
    first = np.arange(0, rounds.size, rounds.shape[1])[:, None, None]
    medians = []
    for start in range(0, resamples, batch):
        picked = _picked(process_of_round, (len(rounds), min(batch, resamples - start)), random)
        medians.append(_medians(rounds.ravel()[first + picked]))
    away = np.concatenate(medians, axis=1) - _medians(rounds)[:, None]
    # Resamples of few rounds lie too close together.
    return np.asarray(away * small_sample_quantile(CONFIDENCE, rounds.shape[1]) / ndtri((1 + CONFIDENCE) / 2))


def _deviations_of_many(
    rounds: Array, process_of_round: Sequence[int], resamples: int, random: np.random.Generator
) -> Array:
    """The same for one network with many rounds, in time that grows with the resamples and not with both.

    The k-th smallest of n draws from n sorted values is the one at n times a beta variate. Of several processes each
    is first thinned to `_DRAWN_ROUNDS` of its quantiles together, which widens the range rather than narrows it.
    """
    processes = np.asarray(process_of_round)
    members = [np.sort(rounds[processes == one]) for one in dict.fromkeys(process_of_round)]
    if len(members) == 1:
        (ordered,) = members
        count = len(ordered)
        lower, upper = (count + 1) // 2, count // 2 + 1
        place = random.beta(lower, count + 1 - lower, resamples)
        above = place + (1 - place) * random.beta(1, count - lower, resamples) if upper > lower else place
        medians = (ordered[(place * count).astype(int)] + ordered[(above * count).astype(int)]) / 2
        wider = small_sample_quantile(CONFIDENCE, count) / ndtri((1 + CONFIDENCE) / 2)
        return np.asarray((medians - np.median(ordered)) * wider)
    kept = max(1, _DRAWN_ROUNDS // len(members))
    thinned = [np.quantile(values, (np.arange(kept) + 0.5) / kept) for values in members[:_DRAWN_ROUNDS]]
    owners = np.repeat(np.arange(len(thinned)), kept).tolist()
    return np.asarray(_deviations(np.concatenate(thinned)[None, :], owners, resamples, random)[0])


def _picked(processes: Sequence[int], shape: tuple[int, int], random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Rounds drawn with replacement, `shape` × rounds; with several processes, these are drawn first."""
    members = [np.flatnonzero(np.equal(processes, one)) for one in dict.fromkeys(processes)]
    if len(members) < 2:  # noqa: PLR2004 - one process is a bootstrap of one level
        return random.integers(len(processes), size=(*shape, len(processes)))
    sizes = np.array([len(rounds) for rounds in members])
    padded = np.array([np.resize(rounds, sizes.max()) for rounds in members])
    chosen = random.integers(len(members), size=(*shape, len(members), 1))
    within = random.random((*shape, len(members), len(processes) // len(members)))
    return np.asarray(padded[chosen, (within * sizes[chosen]).astype(int)].reshape(*shape, -1))


def _medians(rows: Array) -> Array:
    """Medians along the last axis; `numpy.median` is several times slower on many short rows."""
    ordered, count = np.sort(rows), rows.shape[-1]
    return np.asarray((ordered[..., (count - 1) // 2] + ordered[..., count // 2]) / 2)


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
    brackets = end = 0
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
