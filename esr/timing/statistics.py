"""Estimates and intervals from raw samples: every figure of a record can be recomputed with these functions."""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

from esr.records import intervals
from esr.records.document import Timing
from esr.records.intervals import Groups
from esr.records.network import Estimate, Samples
from esr.timing.samples import SampleColumns

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

OUTLIER = 3.5
"""Modified z-score above which a pass is flagged (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993)."""
_MAD_TO_SIGMA = 1.4826
DEPENDENT = 0.3
"""Correlation of neighbouring rounds above which a record says so."""


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
    return intervals.of_runtime(value, table.mean(axis=1).tolist(), confidence, groups)


def ratio(candidate: Array, baseline: Array, confidence: float, groups: Groups = None) -> Estimate:
    """Robust ratio: median over the rounds of candidate / baseline, each summed over the images.

    Of several processes, each of which may run at a speed of its own, it is the mean of their medians.

    Args:
        candidate: Milliseconds, rounds × images.
        baseline: The same rounds and images.
        confidence: Level of the interval, such as 0.95.
        groups: Process of each round; `None`: all of one process.
    """
    return intervals.of_ratio(ratio_per_round(candidate, baseline).tolist(), confidence, groups)


def ratio_plain(candidate: Array, baseline: Array, confidence: float, groups: Groups = None) -> Estimate:
    """Ratio of total times, outliers included in full; arguments as in `ratio`."""
    totals = candidate.sum(axis=1).tolist(), baseline.sum(axis=1).tolist()
    return intervals.of_totals(*totals, confidence, groups)


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


def dependent(timing: Timing) -> str | None:
    """Sign that successive rounds depend on each other more than by chance; `None`: there is none."""
    found, rounds = timing.dependence, len(timing.ratio_per_round)
    if found is None or found.correlation < max(DEPENDENT, 2 / np.sqrt(rounds)):
        return None
    least = max(round(found.independent_rounds), 1)
    independent = f"{rounds} rounds are worth {least} independent one{'s' * (least != 1)}"
    return f"correlation of neighbouring rounds {found.correlation:.2f}: {independent}"
