"""Estimates and intervals from raw samples: every figure of a record can be recomputed with these functions."""

from collections.abc import Callable, Collection, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from esr.records.network import Estimate, Samples
from esr.records.recompute import fewest_rounds, small_sample_quantile
from esr.timing.samples import SampleColumns

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Groups: TypeAlias = Sequence[int] | None
"""Process of each round; `None`: all of one process."""
Statistic = Callable[[Array], Array]
"""Reduces the last two axes, rounds × columns, to one figure."""

OUTLIER = 3.5
"""Modified z-score above which a pass is flagged (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993)."""
_MAD_TO_SIGMA = 1.4826
_BATCH_VALUES = 4_000_000
"""Values resampled at once: limits memory, does not affect the result."""


def matrix(samples: Samples | SampleColumns, rounds: int, images: int, replaced: Collection[int] = ()) -> Array:
    """Milliseconds as rounds × images; NaN where no pass was timed.

    Args:
        samples: Every timed pass.
        rounds: Rows.
        images: Columns.
        replaced: Blocks that were measured again, and so do not count.
    """
    table = np.full((rounds, images), np.nan)
    counts = ~np.isin(samples.block, list(replaced))
    rows, columns = (np.asarray(column, int)[counts] for column in (samples.round, samples.image))
    table[rows, columns] = np.asarray(samples.ms, float)[counts]
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


def runtime_ms(table: Array, confidence: float, resamples: int, seed: int, groups: Groups = None) -> Estimate:
    """Mean over the images of each image's median over the rounds; the interval comes from resampling rounds.

    Args:
        table: Milliseconds, rounds × images.
        confidence: Level of the interval, such as 0.95.
        resamples: Bootstrap resamples.
        seed: Seed of the resampling.
        groups: Process of each round; `None`: all of one process.
    """

    def of_images(picked: Array) -> Array:
        return np.asarray(np.median(picked, axis=-2).mean(axis=-1))

    return _bootstrap(table, of_images, confidence, resamples, seed, groups)


def ratio(
    candidate: Array, baseline: Array, confidence: float, resamples: int, seed: int, groups: Groups = None
) -> Estimate:
    """Robust ratio: median over the rounds of candidate / baseline, each summed over the images.

    Args:
        candidate: Milliseconds, rounds × images.
        baseline: The same rounds and images.
        confidence: Level of the interval, such as 0.95.
        resamples: Bootstrap resamples.
        seed: Seed of the resampling.
        groups: Process of each round; `None`: all of one process.
    """
    per_round = ratio_per_round(candidate, baseline)[:, None]
    return _bootstrap(per_round, lambda picked: np.median(picked[..., 0], axis=-1), confidence, resamples, seed, groups)


def ratio_plain(
    candidate: Array, baseline: Array, confidence: float, resamples: int, seed: int, groups: Groups = None
) -> Estimate:
    """Ratio of total times, outliers included in full; arguments as in `ratio`."""
    sums = np.stack([candidate.sum(axis=1), baseline.sum(axis=1)], axis=1)

    def of_sums(picked: Array) -> Array:
        total = picked.sum(axis=-2)
        return np.asarray(total[..., 0] / total[..., 1])

    return _bootstrap(sums, of_sums, confidence, resamples, seed, groups)


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


def _bootstrap(
    table: Array, statistic: Statistic, confidence: float, resamples: int, seed: int, groups: Groups
) -> Estimate:
    value, rounds = float(statistic(table)), len(table)
    if rounds < fewest_rounds(confidence):
        return Estimate(value)
    # Imported here: it takes a second or two, which a run that fails should not wait for.
    from scipy.special import ndtr  # noqa: PLC0415
    from scipy.stats import bootstrap  # noqa: PLC0415

    # Plain percentiles are too narrow with few rounds, like a normal interval with the population's formula.
    level = float(1 - 2 * ndtr(-small_sample_quantile(confidence, rounds)))
    random = np.random.default_rng(seed)
    if groups is not None and len(set(groups)) > 1:
        tail = (1 - level) / 2
        low, high = np.quantile(_two_levels(table, statistic, np.asarray(groups), resamples, random), [tail, 1 - tail])
        return Estimate(value, float(low), float(high))

    def over_rounds(index: npt.NDArray[np.int64], axis: int = -1) -> Array:
        picked = np.moveaxis(index, axis, -1).astype(int)
        return np.asarray(statistic(table[picked]))

    interval = bootstrap(
        (np.arange(rounds),),
        over_rounds,
        n_resamples=resamples,
        batch=max(1, _BATCH_VALUES // table.size),
        confidence_level=level,
        method="percentile",
        vectorized=True,
        rng=random,
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high))


def _two_levels(
    table: Array, statistic: Statistic, groups: npt.NDArray[np.int64], resamples: int, random: np.random.Generator
) -> Array:
    """Resamples processes and the rounds within each, so that differences between processes widen the interval."""
    members = [np.flatnonzero(groups == one) for one in np.unique(groups)]
    figures = np.empty(resamples)
    for number in range(resamples):
        chosen = random.integers(len(members), size=len(members))
        index = np.concatenate([random.choice(members[one], len(members[one])) for one in chosen])
        figures[number] = statistic(table[index])
    return figures
