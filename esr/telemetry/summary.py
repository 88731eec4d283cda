"""Figures of a timed block from the samples inside it: spreads, clock reasons, energy, load. Pure functions."""

import statistics
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import or_
from typing import TypeAlias

import msgspec

from esr.config.terms import Role
from esr.records.telemetry import Energy, EnergyPerImage, EnergyScope, GpuState, Spread, WindowFigures
from esr.system import nvml
from esr.system.nvml import Sample
from esr.telemetry import host
from esr.telemetry.sampler import TIME

IDLE = 0x1
"""Reason bit of an idle GPU, whose clocks say nothing about a network."""
LEAST_ENERGY_S = 0.5
"""A shorter block has no energy: counters and power sensors are updated about every tenth of a second."""
LONGEST_GAP_S = 1.0
"""Between two power samples; power is not integrated across a longer gap."""
LEAST_CORE_S = 1.0
"""Core-seconds below which load by other processes is unknown: the kernel counts in steps of 0.01 s, per process."""

CLOCKS = ("gpu_sm_mhz", "gpu_memory_mhz")
_SPREADS = (*nvml.GAUGES, "host_temperature_c")
Joules: TypeAlias = tuple[float, str]
"""Joules and their source: `counter`, or `power` where power was integrated."""


@dataclass(frozen=True)
class TimedBlock:
    """One timed block; times in seconds since the watch began."""

    block: int
    role: Role
    images: int
    """Forward passes."""
    start: float
    end: float


@dataclass(frozen=True)
class Summary:
    """Figures of one block, or of several together."""

    blocks: tuple[TimedBlock, ...]
    figures: WindowFigures
    """Clocks without the samples of an idle GPU."""
    reasons: int | None
    """Every clock-reason bit seen; `None` where they cannot be read."""
    core_s: float
    """Core-seconds of the host."""
    others_s: float | None
    """Core-seconds used by other processes; `None` where not known."""
    gpu_energy: Joules | None
    host_energy: Joules | None

    @property
    def sm_mhz(self) -> float | None:
        """Median of the SM clock; `None` without samples."""
        spread = self.figures.gpu_sm_mhz
        return None if spread is None else spread.median


def summarise(gpu: Sequence[Sample], machine: Sequence[Sample], block: TimedBlock) -> Summary:
    """Figures of one block.

    Args:
        gpu: Samples of the GPU, in order of time.
        machine: Samples of the host, in order of time.
        block: Samples at its very start and end count.
    """
    gpu, machine = inside(gpu, block), inside(machine, block)
    core_s = _difference(machine, host.TOTAL) or 0.0
    busy_s, own_s = _difference(machine, host.BUSY), _difference(machine, host.OWN)
    others_s = None if busy_s is None or own_s is None else min(max(0.0, busy_s - own_s), core_s)
    gpu_energy = _counted(gpu, nvml.ENERGY, block) or _integrated(gpu, block)
    host_energy = _counted(machine, host.ENERGY, block)
    return _summary((block,), [*gpu, *machine], core_s, others_s, gpu_energy, host_energy)


def combine(summaries: Sequence[Summary], gpu: Sequence[Sample], machine: Sequence[Sample]) -> Summary:
    """Figures of several blocks together: spreads over all their samples, everything else summed."""
    blocks = tuple(block for summary in summaries for block in summary.blocks)
    pool = [sample for block in blocks for source in (gpu, machine) for sample in inside(source, block)]
    gpu_energy, host_energy = _added(s.gpu_energy for s in summaries), _added(s.host_energy for s in summaries)
    loads = [summary for summary in summaries if summary.others_s is not None]
    core_s = sum(summary.core_s for summary in loads)
    others_s = sum(summary.others_s or 0.0 for summary in loads) if loads else None
    return _summary(blocks, pool, core_s, others_s, gpu_energy, host_energy)


def _summary(
    blocks: tuple[TimedBlock, ...],
    samples: Sequence[Sample],
    core_s: float,
    others_s: float | None,
    gpu_energy: Joules | None,
    host_energy: Joules | None,
) -> Summary:
    seen = [int(sample["gpu_reasons"]) for sample in samples if "gpu_reasons" in sample]
    reasons = reduce(or_, seen) if seen else None
    figures = WindowFigures(
        **spreads(samples),
        reasons=None if reasons is None else f"{reasons:#x}",
        gpu_energy_j=gpu_energy and gpu_energy[0],
        gpu_energy_method=gpu_energy and gpu_energy[1],
        host_energy_j=host_energy and host_energy[0],
        host_load=None if others_s is None or core_s < LEAST_CORE_S else others_s / core_s,
    )
    return Summary(blocks, figures, reasons, core_s, others_s, gpu_energy, host_energy)


def inside(samples: Sequence[Sample], block: TimedBlock) -> Sequence[Sample]:
    """Samples within a block, those at its start and end included."""
    first = bisect_left(samples, block.start, key=lambda sample: sample[TIME])
    return samples[first : bisect_right(samples, block.end, key=lambda sample: sample[TIME])]


def spreads(samples: Sequence[Sample]) -> dict[str, Spread]:
    """Smallest, median and largest value per column; all cores together as `cpu_mhz`.

    >>> spreads([{"time_s": 0, "gpu_power_w": 60.0}, {"time_s": 1, "gpu_power_w": 80.0}])
    {'gpu_power_w': Spread(min=60.0, median=70.0, max=80.0)}
    """
    values = {
        column: [s[column] for s in samples if column in s and (column not in CLOCKS or busy(s))] for column in _SPREADS
    }
    values["cpu_mhz"] = [v for s in samples for column, v in s.items() if column.startswith("cpu")]
    return {
        column: Spread(min(found), statistics.median(found), max(found)) for column, found in values.items() if found
    }


def busy(sample: Sample) -> bool:
    """True unless the GPU was idle."""
    return not int(sample.get("gpu_reasons", 0)) & IDLE


def _difference(samples: Sequence[Sample], column: str) -> float | None:
    """Last minus first value of a counter; `None` with fewer than two."""
    values = [sample[column] for sample in samples if column in sample]
    return values[-1] - values[0] if len(values) > 1 else None


def _counted(samples: Sequence[Sample], column: str, block: TimedBlock) -> Joules | None:
    joules = _difference(samples, column)
    # A counter that stands still was not updated: nothing runs on no energy.
    if not joules or joules < 0 or block.end - block.start < LEAST_ENERGY_S:
        return None
    return joules, "counter"


def _integrated(samples: Sequence[Sample], block: TimedBlock) -> Joules | None:
    """Power over time by the trapezoidal rule, constant from the block's start to the first and from the last value."""
    points = [(sample[TIME], sample["gpu_power_w"]) for sample in samples if "gpu_power_w" in sample]
    if len(points) < 2 or block.end - block.start < LEAST_ENERGY_S:  # noqa: PLR2004 - a line needs two points
        return None
    points = [(block.start, points[0][1]), *points, (block.end, points[-1][1])]
    steps = [(t1 - t0, (p0 + p1) / 2) for (t0, p0), (t1, p1) in pairwise(points)]
    if max(seconds for seconds, _ in steps) > LONGEST_GAP_S:
        return None
    joules = sum(seconds * watts for seconds, watts in steps)
    return (joules, "power") if joules > 0 else None  # a sensor that reads 0 W does not work


def _added(parts: Iterable[Joules | None]) -> Joules | None:
    """Sum over the blocks that have an energy."""
    known = [part for part in parts if part is not None]
    if not known:
        return None
    return sum(joules for joules, _ in known), "+".join(sorted({method for _, method in known}))


def energy_scope(method: str, state: GpuState | None) -> EnergyScope | None:
    """The consumer whose energy a source gives.

    Where a GPU is part of a module with a processor, the driver's counter was seen to count all of it (GH200), while
    power is read for the GPU alone.

    Args:
        method: As `Energy.method`.
        state: Of the GPU before the run; `None`: not known.

    Returns:
        `None` for a sum over unlike sources.
    """
    module: EnergyScope = "module" if state and state.module_power_w is not None else "gpu"
    scopes: set[EnergyScope] = {module if one == "counter" else "gpu" for one in method.split("+")}
    return scopes.pop() if len(scopes) == 1 else None


def energy_per_image(summaries: Sequence[Summary], state: GpuState | None = None) -> EnergyPerImage:
    """Joules per image of one network, over the blocks that have an energy; `state` is the GPU's before the run."""
    images = [sum(block.images for block in summary.blocks) for summary in summaries]

    def total(energies: Iterable[Joules | None]) -> Energy | None:
        known = [(energy, count) for energy, count in zip(energies, images, strict=True) if energy and count]
        added, shown = _added(energy for energy, _ in known), sum(count for _, count in known)
        return added and Energy(added[0], shown, added[0] / shown, added[1])

    gpu = total(s.gpu_energy for s in summaries)
    gpu = gpu and msgspec.structs.replace(gpu, scope=energy_scope(gpu.method, state))
    return EnergyPerImage(gpu, total(s.host_energy for s in summaries))
