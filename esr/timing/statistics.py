"""Estimates and intervals from raw samples, so that anyone can recompute every figure of a record."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_BATCH_VALUES = 4_000_000
"""Values resampled at once: bounds memory, not the result."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its bootstrap interval; no interval where there are too few rounds for one."""

    value: float
    low: float | None
    high: float | None

    def as_dict(self) -> dict[str, float | None]:
        """For the record."""
        return {"value": self.value, "low": self.low, "high": self.high}


def matrix(samples: dict[str, list[Any]], rounds: int, images: int) -> Array:
    """Milliseconds as rounds × images, from a record's columns `round`, `image`, `ms`; NaN where none was taken."""
    table = np.full((rounds, images), np.nan)
    table[np.asarray(samples["round"], int), np.asarray(samples["image"], int)] = samples["ms"]
    return table


def complete_rounds(*tables: Array) -> Array:
    """Mask of the rounds in which every table has every image."""
    return np.asarray(np.all([np.isfinite(table).all(axis=1) for table in tables], axis=0))


def ms_per_image(table: Array, confidence: float, resamples: int, seed: int) -> Estimate:
    """Mean over the images of each image's median over the rounds, with the interval from resampling rounds.

    Args:
        table: Milliseconds, rounds × images.
        confidence: As 0.95.
        resamples: Bootstrap resamples.
        seed: Of the resampling.
    """

    def statistic(picked: Array) -> Array:
        return np.asarray(np.median(picked, axis=-2).mean(axis=-1))

    return _bootstrap(table, statistic, confidence, resamples, seed)


def ratio(candidate: Array, baseline: Array, confidence: float, resamples: int, seed: int) -> Estimate:
    """Median over the rounds of candidate / baseline, each summed over the images, with its interval.

    Args:
        candidate: Milliseconds, rounds × images.
        baseline: The same rounds and images.
        confidence: As 0.95.
        resamples: Bootstrap resamples.
        seed: Of the resampling.
    """
    per_round = ratio_per_round(candidate, baseline)[:, None]
    return _bootstrap(
        per_round, lambda picked: np.median(picked[..., 0], axis=-1), confidence, resamples, seed
    )


def ratio_per_round(candidate: Array, baseline: Array) -> Array:
    """Candidate / baseline of each round, each summed over the images.

    >>> ratio_per_round(np.array([[1.0, 2.0]]), np.array([[2.0, 4.0]])).tolist()
    [0.5]
    """
    return np.asarray(candidate.sum(axis=1) / baseline.sum(axis=1))


def _bootstrap(table: Array, statistic: Any, confidence: float, resamples: int, seed: int) -> Estimate:
    value = float(statistic(table))
    rounds = len(table)
    if rounds < 2:  # noqa: PLR2004 - one round says nothing about the spread
        return Estimate(value, None, None)
    # Imported here: it takes a second or two, which a failed run need not wait for.
    from scipy.stats import bootstrap  # noqa: PLC0415

    def over_rounds(index: npt.NDArray[np.int64], axis: int = -1) -> Array:
        picked = np.moveaxis(index, axis, -1).astype(int)
        return np.asarray(statistic(table[picked]))

    result = bootstrap(
        (np.arange(rounds),),
        over_rounds,
        n_resamples=resamples,
        batch=max(1, _BATCH_VALUES // table.size),
        confidence_level=confidence,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return Estimate(value, float(result.confidence_interval.low), float(result.confidence_interval.high))
