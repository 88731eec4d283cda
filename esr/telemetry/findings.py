"""Disturbances: what speaks against a measurement, from figures and thresholds. Pure functions."""

import statistics
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from esr.config.telemetry import TelemetryConf
from esr.config.terms import Severity
from esr.records.network import Estimate
from esr.records.reasons import TAINT, TELEMETRY_REASONS, WARNING
from esr.records.telemetry import Cycles, GpuWatch
from esr.system.nvml import Sample
from esr.telemetry.sampler import TIME
from esr.telemetry.summary import IDLE, Summary, busy

BITS = {
    IDLE: "idle",
    0x2: "application_clocks",
    0x4: "power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal",
    0x40: "hw_thermal",
    0x80: "power_brake",
    0x100: "display_clocks",
}
"""NVML's reason bits by name."""
_POWER_CAP = 0x4
_SLOWDOWNS = {"hw_slowdown": 0x8 | 0x80, "thermal_slowdown": 0x20 | 0x40}
_EARLIER = 3
"""Blocks of the same network needed before a block's clock can be called an outlier."""
_LEAST_TEMPERATURES = 8
"""Samples below which quarters of them show no trend."""
CLOCK_STEP = 0.005
"""Relative difference between ratios in time and in cycles that is not told: half a step of 15 MHz at 1500 MHz."""


@dataclass(frozen=True)
class Disturbance:
    """Something that speaks against a measurement.

    Raises:
        ValueError: The reason is not among the documented ones.
    """

    reason: str
    """A key of `TELEMETRY_REASONS`."""
    detail: str
    """Value and threshold."""
    block: int | None = None
    """Block in which it was seen; `None`: the run as a whole."""
    severity: Severity = TAINT

    def __post_init__(self) -> None:
        if self.reason not in TELEMETRY_REASONS:
            raise ValueError(f"{self.reason}: not among the documented reasons")


def bit_names(reasons: int) -> list[str]:
    """Names of the bits that are set, unknown ones as one hexadecimal number.

    >>> bit_names(0x4 | 0x40 | 0x1000)
    ['power_cap', 'hw_thermal', '0x1000']
    """
    names = [name for bit, name in BITS.items() if reasons & bit]
    unknown = reasons & ~sum(BITS)
    return names + ([f"{unknown:#x}"] if unknown else [])


def judge_block(summary: Summary, earlier: Sequence[Summary], conf: TelemetryConf) -> list[Disturbance]:
    """Disturbances of one block, for which it may be measured again.

    Args:
        summary: Of the block.
        earlier: Of the undisturbed blocks before it, same network.
        conf: Thresholds.
    """
    block = summary.blocks[0].block
    return [
        *_slowdowns(summary.reasons or 0, block),
        *_clock_out_of_line(summary, earlier, conf.sm_clock_spread, block),
        *_host_load(summary, conf.host_load, block),
    ]


def judge_run(
    summaries: Sequence[Summary], whole: Summary, gpu: Sequence[Sample], conf: TelemetryConf
) -> list[Disturbance]:
    """Disturbances of the run as a whole.

    Args:
        summaries: Of each block that counts.
        whole: Of those blocks together.
        gpu: The GPU's samples inside those blocks, in order of time.
        conf: Thresholds.
    """
    return [
        *_power(whole.reasons or 0, summaries),
        *_clock_spread(summaries, conf.sm_clock_spread),
        *_rise(gpu, conf.temperature_rise_c),
        *_host_load(whole, conf.host_load, None),
    ]


def judge_processes(pids: Collection[int], own: Collection[int], pids_match: bool) -> list[Disturbance]:
    """Use of the device by other processes.

    Args:
        pids: Processes with a context on the device.
        own: The measurement's own processes.
        pids_match: True if both are in one PID namespace; inside a container NVML reports the host's PIDs.
    """
    if pids_match:
        others = sorted(set(pids) - set(own))
        if not others:
            return []
        return [Disturbance("other_process", f"PID {', '.join(map(str, others))} on the device")]
    if len(pids) <= len(own):
        return []
    detail = f"{len(pids)} processes on the device, at most {len(own)} are ours (the PIDs are the host's)"
    return [Disturbance("other_process", detail)]


def judge_watch(gpu: GpuWatch | None) -> list[Disturbance]:
    """Limits of the watch over a GPU; `None` where there is no GPU to watch."""
    if gpu is None:
        return []
    if because := gpu.gone or gpu.sampling.error:
        at = max((error.at_s for error in gpu.errors.values()), default=0.0)
        found = [("not_watched", f"{because} after {at:.1f} s" if gpu.sampling.samples else because)]
    elif "mig" in gpu.errors:
        found = [("not_watched", f"the GPU of {gpu.mig or 'the MIG device'} was not found: {gpu.errors['mig'].error}")]
    else:
        found = [] if gpu.mig is None else [("mig_device", gpu.mig)]
        refused = [column for column in ("gpu_reasons", "gpu_sm_mhz") if column in gpu.errors]
        found += [("not_watched", f"{column}: {gpu.errors[column].error}") for column in refused]
    return [Disturbance(*one, severity=WARNING) for one in found]


def judge_cycles(ratio: Estimate | None, cycles: Cycles | None) -> list[Disturbance]:
    """Disagreement between the ratio in milliseconds and that in cycles of the SM clock, beyond both intervals.

    Not where it is smaller than what the steps of the clock explain.
    """
    if ratio is None or cycles is None or not apart(ratio, cycles.ratio):
        return []
    if abs(cycles.ratio.value / ratio.value - 1) < CLOCK_STEP:
        return []
    clocks = " and ".join(f"{mhz:.0f} MHz ({role})" for role, mhz in cycles.sm_mhz.items())
    in_time, in_cycles = (
        f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}] in {unit}"
        for one, unit in ((ratio, "time"), (cycles.ratio, "cycles"))
    )
    return [Disturbance("cycles_disagree", f"{in_time}, {in_cycles}; {clocks}", severity=WARNING)]


def apart(one: Estimate, other: Estimate) -> bool:
    """True if both have an interval and these do not overlap.

    >>> apart(Estimate(1.0, 0.9, 1.1), Estimate(1.2, 1.15, 1.25)), apart(Estimate(1.0, 0.9, 1.1), Estimate(1.2))
    (True, False)
    """
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.high < other.low or other.high < one.low


def is_steady(gpu: Sequence[Sample], since: float, now: float, conf: TelemetryConf) -> bool:
    """True once temperature and SM clock have been stable over the last `steady_s` seconds.

    Args:
        gpu: Samples of the GPU, in order of time; a missing column is ignored.
        since: Start of the GPU's work, in seconds since the watch began.
        now: In the same seconds.
        conf: `steady_s`, `steady_rise_c`, `sm_clock_spread`.
    """
    if now - since < conf.steady_s:
        return False
    middle = now - conf.steady_s / 2
    recent = [sample for sample in gpu if sample[TIME] >= now - conf.steady_s]
    halves = [s for s in recent if s[TIME] < middle], [s for s in recent if s[TIME] >= middle]
    before, after = (_mean(half, "gpu_temperature_c") for half in halves)
    if before is not None and after is not None and after - before > conf.steady_rise_c:
        return False
    slow, fast = (_mean([s for s in half if busy(s)], "gpu_sm_mhz") for half in halves)
    return slow is None or fast is None or abs(fast / slow - 1) <= conf.sm_clock_spread / 2


def _mean(samples: Sequence[Sample], column: str) -> float | None:
    values = [sample[column] for sample in samples if column in sample]
    return statistics.fmean(values) if values else None


def _slowdowns(reasons: int, block: int) -> Iterator[Disturbance]:
    for reason, mask in _SLOWDOWNS.items():
        if reasons & mask:
            yield Disturbance(reason, f"driver's reasons: {', '.join(bit_names(reasons & mask))}", block)


def _clock_out_of_line(summary: Summary, earlier: Sequence[Summary], limit: float, block: int) -> Iterator[Disturbance]:
    known = [clock for other in earlier if (clock := other.sm_mhz) is not None]
    if summary.sm_mhz is None or len(known) < _EARLIER:
        return
    usual = statistics.median(known)
    share = abs(summary.sm_mhz / usual - 1)
    if share > limit:
        detail = f"{summary.sm_mhz:.0f} MHz here, {usual:.0f} MHz before: {_over(share, limit)}"
        yield Disturbance("sm_clock_spread", detail, block)


def _clock_spread(summaries: Sequence[Summary], limit: float) -> Iterator[Disturbance]:
    """Over the blocks' medians: a boost clock normally flickers by one step within a block."""
    clocks = [clock for summary in summaries if (clock := summary.sm_mhz) is not None]
    if not clocks:
        return
    share = (max(clocks) - min(clocks)) / statistics.median(clocks)
    if share > limit:
        detail = f"{min(clocks):.0f} to {max(clocks):.0f} MHz: {_over(share, limit)}"
        yield Disturbance("sm_clock_spread", detail)


def _rise(gpu: Sequence[Sample], limit: float) -> Iterator[Disturbance]:
    degrees = [sample["gpu_temperature_c"] for sample in gpu if "gpu_temperature_c" in sample]
    if len(degrees) < _LEAST_TEMPERATURES:
        return
    quarter = len(degrees) // 4
    first, last = statistics.median(degrees[:quarter]), statistics.median(degrees[-quarter:])
    if last - first > limit:
        yield Disturbance("temperature_rising", f"{first:.0f} to {last:.0f} °C, above {limit:g} °C")


def _host_load(summary: Summary, limit: float, block: int | None) -> Iterator[Disturbance]:
    load = summary.figures.host_load
    if load is not None and load > limit:
        yield Disturbance("host_load", f"other processes used {_over(load, limit, ' of the cores')}", block)


def _power(reasons: int, summaries: Sequence[Summary]) -> Iterator[Disturbance]:
    if reasons & _POWER_CAP:
        capped = sum(bool((summary.reasons or 0) & _POWER_CAP) for summary in summaries)
        yield Disturbance("power_cap", f"in {capped} of {len(summaries)} blocks", severity=WARNING)
    if unknown := reasons & ~sum(BITS):
        yield Disturbance("unknown_clock_reason", f"bits {unknown:#x}", severity=WARNING)


def _over(share: float, limit: float, whole: str = "") -> str:
    return f"{100 * share:.1f} %{whole}, above {100 * limit:g} %"
