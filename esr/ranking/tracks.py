"""Ranks by metric and places in the tracks; equal scores share the smaller rank, as in the challenge's paper."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from esr.ranking.challenge import METRICS, Metric, Track
from esr.ranking.structures import Entry, Place, field_of

_WORSE = {
    "runtime": "slower",
    "params": "more parameters",
    "flops": "more FLOPs",
    "flops_fvcore": "more FLOPs",
    "macs": "more MACs",
}
"""Metrics for which it is not `more METRIC`."""
_EXPONENT = 2.0
"""The challenges since 2024 score exp(2 · figure / baseline's figure)."""
_LARGEST_EXPONENT = 700.0
"""Exponential of this is nearly the largest float."""


def ranks_of(values: Sequence[Sequence[float] | float | None]) -> list[int | None]:
    """Rank of each value, the smallest first; equal ones share the smaller rank, missing ones have `None`.

    >>> ranks_of([2.0, 1.0, None, 1.0, 3.0])
    [3, 1, None, 1, 4]
    >>> ranks_of([(2.0, 5), (2.0, 4)])
    [2, 1]
    """
    known: list[Any] = sorted([value for value in values if value is not None])
    first = dict(zip(reversed(known), range(len(known), 0, -1), strict=True))  # of equal ones, the smallest is last
    return [None if value is None else first[value] for value in values]


def metric_ranks(entries: Sequence[Entry]) -> list[dict[Metric, int]]:
    """Each network's rank by each metric known of it; equal figures share the smaller rank.

    The organisers ranked unrounded figures: where two were printed alike, their printed ranks say which is smaller.
    """
    rows = zip(*[ranks_of(_comparable(entries, metric)) for metric in METRICS], strict=True)
    return [{metric: rank for metric, rank in zip(METRICS, row, strict=True) if rank} for row in rows]


def _comparable(entries: Sequence[Entry], metric: Metric) -> Sequence[float | tuple[float, int] | None]:
    name = field_of(metric)
    values = [getattr(entry.figures, name) for entry in entries]
    printed = [entry.published_ranks.get(metric, 0) if entry.source == "published" else 0 for entry in entries]
    both = zip(values, printed, strict=True)
    return [None if value is None else (value, rank) for value, rank in both] if any(printed) else values


def places(entries: Sequence[Entry], ranks: Sequence[Mapping[Metric, int]], track: Track, enforce: bool) -> list[Place]:
    """Every network's place in a track.

    Scores add up the ranks of the whole table; a constraint excludes from the placing only.

    Args:
        entries: The networks that take part.
        ranks: Their ranks by metric.
        track: How it is scored.
        enforce: Applies the track's own constraints, as its rules read.
    """
    scores = [_score(entry, ranked, track) for entry, ranked in zip(entries, ranks, strict=True)]
    reasons = [_excluded(entry, score, track, enforce) for entry, score in zip(entries, scores, strict=True)]
    placed = ranks_of([None if why else score for score, why in zip(scores, reasons, strict=True)])
    return [Place(*found) for found in zip(placed, scores, reasons, strict=True)]


def _score(entry: Entry, ranks: Mapping[Metric, int], track: Track) -> float | None:
    if track.ranks:
        known = [ranks[metric] for metric in track.ranks if metric in ranks]
        return float(sum(known)) if len(known) == len(track.ranks) else None
    score = 0.0
    for metric, weight in track.weights.items():
        share = relative(entry, metric)
        if share is None:
            return None
        score += weight * math.exp(min(_EXPONENT * share, _LARGEST_EXPONENT))
    return score


def relative(entry: Entry, metric: Metric) -> float | None:
    """A network's figure over its baseline's."""
    mine, beside = entry.figures.metric(metric), entry.baseline.metric(metric)
    return None if mine is None or not beside else mine / beside


def _excluded(entry: Entry, score: float | None, track: Track, enforce: bool) -> str | None:
    if score is None:
        needed = track.ranks or tuple(track.weights)
        missing = [metric for metric in needed if entry.figures.metric(metric) is None]
        return f"no figure for {', '.join(missing) or 'the baseline'}"
    for metric in track.enforce if enforce else ():
        share = relative(entry, metric)
        if share is None or share > 1:
            return f"{_WORSE.get(metric, f'more {metric}')} than the baseline"
    return None
