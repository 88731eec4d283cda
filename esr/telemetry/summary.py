"""Samples of a window -> its figures: spreads, throttle bits, energy, load by others. Pure functions."""

import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from esr.system import nvml
from esr.system.nvml import Sample
from esr.telemetry import host
from esr.telemetry.sampler import TIME

IDLE = 0x1
"""The reason bit of a GPU that waits for work; its clocks then say nothing about a network."""
LEAST_ENERGY_S = 0.5
"""A shorter window has no energy of its own: counters and power sensors are renewed about every tenth of a second."""
LONGEST_GAP_S = 1.0
"""Between two power samples; power is not integrated across a longer gap."""
LEAST_CORE_S = 1.0
"""Core-seconds below which load by others is not told: the kernel counts in steps of 0.01 s, per process."""

CLOCKS = ("gpu_sm_mhz", "gpu_memory_mhz")
_SPREADS = (
    *CLOCKS,
    "gpu_pstate",
    "gpu_temperature_c",
    "gpu_power_w",
    "gpu_utilisation_pct",
    "host_temperature_c",
)


@dataclass(frozen=True)
class Window:
    """One timed block; times in seconds since the watch began."""

    number: int
    group: str
    """Whose block it is; clocks are compared within a group."""
    images: int
    start: float
    end: float


@dataclass(frozen=True)
class Energy:
    """Joules, and how they are known: `counter` or `power` (integrated)."""

    joules: float
    method: str


@dataclass(frozen=True)
class Summary:
    """What the samples inside one window, or several, say."""

    windows: tuple[Window, ...]
    spreads: dict[str, tuple[float, float, float]]
    """Column -> smallest, median, largest; clocks without the samples of an idle GPU."""
    reasons: int | None
    """Every throttle bit seen; none where they cannot be read."""
    gpu_energy: Energy | None
    host_energy: Energy | None
    core_s: float
    """Core-seconds that the host had to give."""
    others_s: float | None
    """Core-seconds of them that others used; none where that is not known."""

    @property
    def host_load(self) -> float | None:
        """Load by others as a fraction of all cores; none where the window is too short to tell."""
        return None if self.others_s is None or self.core_s < LEAST_CORE_S else self.others_s / self.core_s

    def median(self, column: str) -> float | None:
        """A column's median; none without samples."""
        spread = self.spreads.get(column)
        return None if spread is None else spread[1]

    def as_dict(self) -> dict[str, Any]:
        """For the record."""
        return {
            **{
                column: dict(zip(("min", "median", "max"), spread, strict=True))
                for column, spread in self.spreads.items()
            },
            "reasons": None if self.reasons is None else f"{self.reasons:#x}",
            "gpu_energy_j": self.gpu_energy and self.gpu_energy.joules,
            "gpu_energy_method": self.gpu_energy and self.gpu_energy.method,
            "host_energy_j": self.host_energy and self.host_energy.joules,
            "host_load": self.host_load,
        }


def summarise(gpu: Sequence[Sample], machine: Sequence[Sample], window: Window) -> Summary:
    """The figures of one window.

    Args:
        gpu: Samples of the GPU, in order of time.
        machine: Samples of the host, in order of time.
        window: Which of them count; its borders included.
    """
    gpu, machine = inside(gpu, window), inside(machine, window)
    core_s = _difference(machine, host.TOTAL) or 0.0
    busy, own = _difference(machine, host.BUSY), _difference(machine, host.OWN)
    return Summary(
        windows=(window,),
        spreads=spreads([*gpu, *machine]),
        reasons=_reasons(gpu),
        gpu_energy=_counted(gpu, nvml.ENERGY, window) or _integrated(gpu, window),
        host_energy=_counted(machine, host.ENERGY, window),
        core_s=core_s,
        others_s=None if busy is None or own is None else max(0.0, busy - own),
    )


def combine(summaries: Sequence[Summary], gpu: Sequence[Sample], machine: Sequence[Sample]) -> Summary:
    """The figures of several windows together: spreads over all their samples, the rest added up."""
    windows = tuple(window for summary in summaries for window in summary.windows)
    pool = [sample for window in windows for source in (gpu, machine) for sample in inside(source, window)]
    loads = [summary for summary in summaries if summary.others_s is not None]
    return Summary(
        windows=windows,
        spreads=spreads(pool),
        reasons=_reasons(pool),
        gpu_energy=_added(summary.gpu_energy for summary in summaries),
        host_energy=_added(summary.host_energy for summary in summaries),
        core_s=sum(summary.core_s for summary in loads),
        others_s=sum(summary.others_s or 0.0 for summary in loads) if loads else None,
    )


def inside(samples: Sequence[Sample], window: Window) -> Sequence[Sample]:
    """The samples within a window, its borders included."""
    first = bisect_left(samples, window.start, key=lambda sample: sample[TIME])
    return samples[first : bisect_right(samples, window.end, key=lambda sample: sample[TIME])]


def spreads(samples: Sequence[Sample]) -> dict[str, tuple[float, float, float]]:
    """Smallest, median and largest value per column; all cores together as `cpu_mhz`.

    >>> spreads([{"time_s": 0, "gpu_power_w": 60.0}, {"time_s": 1, "gpu_power_w": 80.0}])
    {'gpu_power_w': (60.0, 70.0, 80.0)}
    """
    values = {
        column: [s[column] for s in samples if column in s and _tells(s, column)] for column in _SPREADS
    }
    values["cpu_mhz"] = [v for s in samples for column, v in s.items() if column.startswith("cpu")]
    return {
        column: (min(found), statistics.median(found), max(found))
        for column, found in values.items()
        if found
    }


def busy(sample: Sample) -> bool:
    """Whether the GPU was not waiting for work."""
    return not int(sample.get("gpu_reasons", 0)) & IDLE


def _tells(sample: Sample, column: str) -> bool:
    return column not in CLOCKS or busy(sample)


def _reasons(samples: Iterable[Sample]) -> int | None:
    seen = [int(sample["gpu_reasons"]) for sample in samples if "gpu_reasons" in sample]
    bits = 0
    for reason in seen:
        bits |= reason
    return bits if seen else None


def _difference(samples: Sequence[Sample], column: str) -> float | None:
    """Last minus first value of a counter; none with fewer than two."""
    values = [sample[column] for sample in samples if column in sample]
    return values[-1] - values[0] if len(values) > 1 else None


def _counted(samples: Sequence[Sample], column: str, window: Window) -> Energy | None:
    joules = _difference(samples, column)
    # A counter that stands still was not renewed: nothing runs on no energy.
    if not joules or joules < 0 or window.end - window.start < LEAST_ENERGY_S:
        return None
    return Energy(joules, "counter")


def _integrated(samples: Sequence[Sample], window: Window) -> Energy | None:
    """Power over time by the trapezoidal rule, the first and last value held up to the window's borders."""
    points = [(sample[TIME], sample["gpu_power_w"]) for sample in samples if "gpu_power_w" in sample]
    if len(points) < 2 or window.end - window.start < LEAST_ENERGY_S:  # noqa: PLR2004 - a line needs two points
        return None
    points = [(window.start, points[0][1]), *points, (window.end, points[-1][1])]
    steps = [(t1 - t0, (p0 + p1) / 2) for (t0, p0), (t1, p1) in pairwise(points)]
    if max(seconds for seconds, _ in steps) > LONGEST_GAP_S:
        return None
    return Energy(sum(seconds * watts for seconds, watts in steps), "power")


def _added(parts: Iterable[Energy | None]) -> Energy | None:
    """Joules of the windows that have any."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    return Energy(sum(part.joules for part in known), "+".join(sorted({part.method for part in known})))


def energy_per_image(summaries: Sequence[Summary]) -> dict[str, Any]:
    """Joules per image, over the windows that have an energy; none where no window has.

    Returns:
        For `gpu` and `host`: `joules`, `images`, `joules_per_image` and `method`.
    """
    result: dict[str, Any] = {}
    for name in ("gpu", "host"):
        parts = [(getattr(s, f"{name}_energy"), sum(w.images for w in s.windows)) for s in summaries]
        known = [(energy, images) for energy, images in parts if energy is not None and images]
        total = _added(energy for energy, _ in known)
        images = sum(images for _, images in known)
        result[name] = total and {
            "joules": total.joules,
            "images": images,
            "joules_per_image": total.joules / images,
            "method": total.method,
        }
    return result
