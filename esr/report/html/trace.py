"""Telemetry as the page shows it: a few series of a record's trace, thinned, and the tainted windows."""

import gzip
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from esr.config.terms import Role
from esr.errors import RecordError
from esr.records.network import Block
from esr.records.telemetry import Window
from esr.report.html.crops import inside
from esr.system.nvml import Sample
from esr.telemetry import host
from esr.telemetry.sampler import TIME
from esr.telemetry.trace import read_trace

LARGEST_BYTES = 32 * 1024 * 1024
"""A trace that unpacks to more is left out; an hour's takes about 5 MiB."""
BUCKETS = 120
"""Spans that a series is thinned to; each keeps its smallest and its largest value, so no dip is lost."""
SHORTEST_S = 0.5
"""Shorter spans give no load: the kernel counts in steps of 0.01 s."""
MOST_WINDOWS = 400
Points: TypeAlias = list[tuple[float, float]]
"""Seconds and values."""
_CHUNK = 1 << 20


class Series(msgspec.Struct, frozen=True):
    """A line over time."""

    name: str
    unit: str
    """Series of one unit share a panel."""
    x: list[float]
    """Seconds since the watch began."""
    y: list[float]


class Shade(msgspec.Struct, frozen=True):
    """A tainted block."""

    role: Role
    start: float
    end: float
    reasons: tuple[str, ...]
    replaced: bool


def series(folder: Path, name: str) -> list[Series]:
    """Clocks, temperatures, power and load of a trace; empty where it cannot be read."""
    file = inside(folder, name, LARGEST_BYTES)
    if file is None or not _small_unpacked(file):
        return []
    try:
        samples = [sample for sample in read_trace(file) if TIME in sample]
    except RecordError:
        return []
    lines: list[tuple[str, str, Points]] = [
        ("GPU clock", "MHz", _column(samples, "gpu_sm_mhz")),
        ("mean core clock", "MHz", _points(samples, _core_mhz)),
        ("GPU", "°C", _column(samples, "gpu_temperature_c")),
        ("processor", "°C", _column(samples, "host_temperature_c")),
        ("GPU", "W", _column(samples, "gpu_power_w")),
        ("esr", "cores", _cores(samples, lambda one: one[host.OWN])),
        ("others", "cores", _cores(samples, lambda one: one[host.BUSY] - one[host.OWN])),
    ]
    return [
        Series(name, unit, [round(x, 2) for x, _ in points], [float(f"{y:.5g}") for _, y in points])
        for name, unit, points in ((name, unit, thinned(points)) for name, unit, points in lines)
        if len(points) > 1
    ]


def shades(windows: Sequence[Window], blocks: Mapping[Role, Mapping[int, Block]]) -> list[Shade]:
    """The tainted windows.

    Args:
        windows: All of a record's.
        blocks: Blocks of each role by their number.
    """
    found = [(window, blocks.get(window.role, {}).get(window.block)) for window in windows]
    return [
        Shade(window.role, window.start, window.end, block.reasons, block.replaced)
        for window, block in found
        if block is not None and block.reasons
    ][:MOST_WINDOWS]


def thinned(points: Points, buckets: int = BUCKETS) -> Points:
    """At most two points per bucket, its smallest and its largest, in order of time.

    >>> thinned([(0, 1), (1, 5), (2, 0), (3, 2), (4, 9), (5, 9)], buckets=1)
    [(2, 0), (4, 9)]
    """
    if len(points) <= 2 * buckets:
        return points
    size = math.ceil(len(points) / buckets)
    kept: Points = []
    for start in range(0, len(points), size):
        bucket = points[start : start + size]
        extremes = {min(bucket, key=lambda one: one[1]), max(bucket, key=lambda one: one[1])}
        kept += sorted(extremes)
    return kept


def _small_unpacked(file: Path) -> bool:
    """True if it unpacks to at most `LARGEST_BYTES`: a few bytes of gzip can hold more than the machine has."""
    total = 0
    try:
        with gzip.open(file) as unpacked:
            while chunk := unpacked.read(_CHUNK):
                total += len(chunk)
                if total > LARGEST_BYTES:
                    return False
    except (OSError, EOFError, ValueError):
        return False
    return True


def _points(samples: Sequence[Sample], value: Callable[[Sample], float | None]) -> Points:
    found = [(sample[TIME], value(sample)) for sample in samples]
    return [(x, y) for x, y in found if y is not None and math.isfinite(x) and math.isfinite(y)]


def _column(samples: Sequence[Sample], name: str) -> Points:
    return _points(samples, lambda sample: sample.get(name))


def _core_mhz(sample: Sample) -> float | None:
    cores = [value for name, value in sample.items() if name.startswith("cpu") and name.endswith("_mhz")]
    return sum(cores) / len(cores) if cores else None


def _cores(samples: Sequence[Sample], spent: Callable[[Sample], float]) -> Points:
    """Cores in use between samples, from counters of core-seconds; each point stands at the end of its span."""
    known = [sample for sample in samples if host.OWN in sample and host.BUSY in sample]
    points: Points = []
    last = known[0] if known else {}
    for sample in known[1:]:
        span = sample[TIME] - last[TIME]
        if span >= SHORTEST_S:
            points.append((sample[TIME], max(0.0, spent(sample) - spent(last)) / span))
            last = sample
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
