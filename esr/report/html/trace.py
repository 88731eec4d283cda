"""Telemetry as the page shows it: a few series of a record's trace, thinned, and the tainted windows."""

import gzip
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
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
_CORE_CLOCK, _OWN_LOAD, _OTHER_LOAD = "core_mhz", "own_cores", "other_cores"
"""Columns that are derived from a trace's."""
_LINES = (
    ("GPU clock", "MHz", "gpu_sm_mhz"),
    ("mean core clock", "MHz", _CORE_CLOCK),
    ("GPU", "°C", "gpu_temperature_c"),
    ("processor", "°C", "host_temperature_c"),
    ("GPU", "W", "gpu_power_w"),
    ("esr", "cores", _OWN_LOAD),
    ("others", "cores", _OTHER_LOAD),
)
"""Name, unit and column of each series."""


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
    samples += [*_core_clocks(samples), *_loads(samples)]
    found = []
    for title, unit, column in _LINES:
        points = thinned([(sample[TIME], sample[column]) for sample in samples if _finite(sample, column)])
        if len(points) > 1:
            x, y = [round(x, 2) for x, _ in points], [float(f"{y:.5g}") for _, y in points]
            found.append(Series(title, unit, x, y))
    return found


def shades(windows: Sequence[Window], blocks: Mapping[int, Block]) -> list[Shade]:
    """The tainted windows.

    Args:
        windows: All of a record's.
        blocks: Blocks of both networks by their number.
    """
    return [
        Shade(window.role, window.start, window.end, block.reasons, block.replaced)
        for window in windows
        if (block := blocks.get(window.block)) and block.reasons
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
        kept += sorted({min(bucket, key=itemgetter(1)), max(bucket, key=itemgetter(1))})
    return kept


def _small_unpacked(file: Path) -> bool:
    """True if it unpacks to at most `LARGEST_BYTES`: a few bytes of gzip can hold more than the machine has."""
    try:
        with gzip.open(file) as unpacked:
            return len(unpacked.read(LARGEST_BYTES + 1)) <= LARGEST_BYTES
    except (OSError, EOFError, ValueError, zlib.error):
        return False


def _finite(sample: Sample, column: str) -> bool:
    return column in sample and math.isfinite(sample[TIME]) and math.isfinite(sample[column])


def _core_clocks(samples: Sequence[Sample]) -> Iterator[Sample]:
    for sample in samples:
        cores = [value for name, value in sample.items() if name.startswith("cpu") and name.endswith("_mhz")]
        if cores:
            yield {TIME: sample[TIME], _CORE_CLOCK: sum(cores) / len(cores)}


def _loads(samples: Sequence[Sample]) -> Iterator[Sample]:
    """Cores in use between samples, from counters of core-seconds; each stands at the end of its span."""
    known = [sample for sample in samples if host.OWN in sample and host.BUSY in sample]
    last = known[0] if known else {}
    for sample in known[1:]:
        span = sample[TIME] - last[TIME]
        if span >= SHORTEST_S:
            own, busy = (sample[column] - last[column] for column in (host.OWN, host.BUSY))
            yield {TIME: sample[TIME], _OWN_LOAD: max(0.0, own) / span, _OTHER_LOAD: max(0.0, busy - own) / span}
            last = sample
