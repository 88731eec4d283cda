"""Records of one network on several data sets, joined as the challenge's paper does: each PSNR, the mean runtime."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import mul

from msgspec.structs import replace

from esr.ranking.identity import Rankable
from esr.ranking.structures import Entry, Figures, Interval
from esr.records.reasons import STATUSES

APPARENT = 1.02
"""Factor below which an order by milliseconds that contradicts the ratios is not worth a word."""


def networks(measured: Sequence[Rankable], sets: Sequence[str]) -> list[Entry]:
    """One entry per key; one that lacks a data set may not be ranked."""
    if len(sets) == 1:
        return [one.entry for one in measured]
    by_key: dict[str, dict[str, Entry]] = defaultdict(dict)
    for one in measured:
        by_key[one.entry.key][one.data] = one.entry
    return [joined(found, sets) for found in by_key.values()]


def joined(measured: Mapping[str, Entry], sets: Sequence[str]) -> Entry:
    """One network's entries on several data sets as one.

    The ratio is that of the mean runtimes: each set's ratio, weighted by the baseline's milliseconds beside it.

    Args:
        measured: Data set -> the same network on it.
        sets: Names of all sets in the table; without one of them it has no rank.
    """
    parts = [measured[data] for data in sets if data in measured]
    missing = [data for data in sets if data not in measured]
    first = replace(parts[0], barred=f"not measured on {', '.join(missing)}" if missing else None)
    if len(parts) == 1:
        return first
    figures = [part.figures for part in parts]
    weights = _shares([part.baseline.runtime_ms for part in parts])
    known = [one.ratio for one in figures if one.ratio is not None]
    ratio = sum(map(mul, weights, known)) if weights and len(known) == len(parts) else None
    return replace(
        first,
        figures=_figures(figures, ratio, _interval(weights, figures) if ratio else None),
        baseline=_figures([part.baseline for part in parts], 1.0, None),
        verdict=max((part.verdict for part in parts), key=STATUSES.index),
        reasons=tuple({(one.reason, one.role): one for part in parts for one in part.reasons}.values()),
        failure=next((part.failure for part in parts if part.failure), None),
        identical=tuple(dict.fromkeys(data for part in parts for data in part.identical)),
    )


def _figures(parts: Sequence[Figures], ratio: float | None, interval: Interval | None) -> Figures:
    """Counts are the same on every set; the peak of memory is the largest."""
    peaks = [one.memory_mib for one in parts if one.memory_mib is not None]
    return replace(
        parts[0],
        runtime_ms=_mean(one.runtime_ms for one in parts),
        ratio=ratio,
        ratio_interval=interval,
        memory_mib=max(peaks, default=None),
        energy_mj=_mean(one.energy_mj for one in parts),
        psnr_rgb={name: value for one in parts for name, value in one.psnr_rgb.items()},
    )


def _mean(values: Iterable[float | None]) -> float | None:
    """`None` where one is missing."""
    found = list(values)
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known and len(known) == len(found) else None


def _shares(milliseconds: Sequence[float | None]) -> list[float]:
    """Each set's part of the baseline's time; empty where one is not known."""
    known = [value for value in milliseconds if value]
    return [value / sum(known) for value in known] if len(known) == len(milliseconds) else []


def _interval(weights: Sequence[float], parts: Sequence[Figures]) -> Interval | None:
    """Interval of a sum from the intervals of its terms (Zou and Donner, Statistics in Medicine 2008)."""
    low = high = value = 0.0
    for weight, one in zip(weights, parts, strict=True):
        if one.ratio is None or one.ratio_interval is None:
            return None
        value += weight * one.ratio
        low += (weight * (one.ratio - one.ratio_interval.low)) ** 2
        high += (weight * (one.ratio_interval.high - one.ratio)) ** 2
    return Interval(value - math.sqrt(low), value + math.sqrt(high))


def opposite_orders(entries: Sequence[Entry]) -> list[str]:
    """A sentence on two networks whose milliseconds and ratios contradict each other; empty where none do."""
    known = [
        (one.figures.ratio, one.figures.runtime_ms, one)
        for one in entries
        if one.figures.ratio and one.figures.runtime_ms and one.baseline.runtime_ms and not one.reference
    ]
    known.sort(key=lambda one: one[:2])
    slowest = None
    for ratio, ms, entry in known:
        if slowest and ms * APPARENT < slowest[1] and slowest[0] * APPARENT < ratio:
            other = slowest[2]
            return [
                f"by milliseconds {entry.key} is faster than {other.key}, by ratio slower: the machine was not as fast "
                f"throughout (the baseline took {other.baseline.runtime_ms:.2f} ms beside {other.key}, "
                f"{entry.baseline.runtime_ms:.2f} ms beside {entry.key}); ratios are ranked, which that does not touch"
            ]
        if slowest is None or ms > slowest[1]:
            slowest = ratio, ms, entry
    return []
