"""From figures and thresholds to findings: what speaks against a measurement. Pure functions."""

import statistics
from collections.abc import Collection, Sequence
from typing import Any, TypedDict

from esr.config.telemetry import TelemetryConf
from esr.system.nvml import Sample
from esr.telemetry.sampler import TIME
from esr.telemetry.summary import IDLE, Summary, busy

REASONS = {
    "hw_slowdown": "the GPU's hardware slowed its clocks down: temperature, power brake or supply",
    "thermal_slowdown": "the GPU slowed its clocks down because it was too hot",
    "power_cap": "the GPU held its clocks back to stay below its power limit",
    "sm_clock_spread": "the SM clock was not the same throughout",
    "temperature_rising": "the GPU was still getting warmer while networks were timed",
    "other_process": "another process had work on the GPU",
    "host_load": "others kept the host's processor busy",
    "unknown_clock_reason": "the driver gave a reason for its clocks that has no known name",
    "not_watched": "the GPU could not be watched, so what it did to the clocks is not known",
}
"""Every reason that telemetry can find -> what it means."""

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
"""Windows of the same network before a window's clock can be called out of line."""
_LEAST_TEMPERATURES = 8
"""Samples below which quarters of them say nothing about a trend."""


class Finding(TypedDict):
    """Something that speaks against a measurement."""

    reason: str
    """A key of `REASONS`."""
    severity: str
    """`taint`, or `warning` for what leaves the verdict clean."""
    window: int | None
    """The block it was seen in; none: the run as a whole."""
    detail: str
    """Value and threshold."""


def finding(reason: str, detail: str, window: int | None = None, severity: str = "taint") -> Finding:
    """A finding; `reason` must be a key of `REASONS`."""
    if reason not in REASONS:
        raise ValueError(f"{reason}: not among the documented reasons")
    return {"reason": reason, "severity": severity, "window": window, "detail": detail}


def bit_names(reasons: int) -> list[str]:
    """The names of the bits that are set, unknown ones as one hexadecimal number.

    >>> bit_names(0x4 | 0x40 | 0x1000)
    ['power_cap', 'hw_thermal', '0x1000']
    """
    names = [name for bit, name in BITS.items() if reasons & bit]
    unknown = reasons & ~sum(BITS)
    return names + ([f"{unknown:#x}"] if unknown else [])


def judge_window(summary: Summary, earlier: Sequence[Summary], conf: TelemetryConf) -> list[Finding]:
    """What speaks against one block, so that it may be measured again.

    Args:
        summary: Of the block.
        earlier: Of the clean blocks before it, same network.
        conf: The thresholds.
    """
    number = summary.windows[0].number
    return [
        *_slowdowns(summary.reasons or 0, number),
        *_clock_out_of_line(summary, earlier, conf.sm_clock_spread, number),
        *_host_load(summary, conf.host_load, number),
    ]


def judge_run(
    summaries: Sequence[Summary], whole: Summary, gpu: Sequence[Sample], conf: TelemetryConf
) -> list[Finding]:
    """What speaks against a run as a whole.

    Args:
        summaries: Of the blocks that count, one each.
        whole: Of those blocks together.
        gpu: The GPU's samples inside those blocks, in order of time.
        conf: The thresholds.
    """
    return [
        *_power(whole.reasons or 0, summaries),
        *_clock_spread(summaries, conf.sm_clock_spread),
        *_rise(gpu, conf.temperature_rise_c),
        *_host_load(whole, conf.host_load, None),
    ]


def judge_processes(pids: Collection[int], own: Collection[int], pids_match: bool) -> list[Finding]:
    """Whether the device did work for others.

    Args:
        pids: Processes with a context on the device.
        own: The measurement's own processes.
        pids_match: Whether both number processes alike; in a container NVML counts in the host's PIDs.
    """
    if pids_match:
        others = sorted(set(pids) - set(own))
        if not others:
            return []
        return [finding("other_process", f"PID {', '.join(map(str, others))} on the device")]
    if len(pids) <= len(own):
        return []
    return [
        finding(
            "other_process",
            f"{len(pids)} processes on the device, at most {len(own)} are ours (the PIDs are the host's)",
        )
    ]


def is_steady(gpu: Sequence[Sample], since: float, now: float, conf: TelemetryConf) -> bool:
    """Whether temperature and SM clock have come to rest over the last `steady_s` seconds.

    Args:
        gpu: Samples of the GPU, in order of time; a column that is not there says nothing.
        since: Since when the GPU has been at work, in seconds since the watch began.
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


def _slowdowns(reasons: int, number: int) -> list[Finding]:
    return [
        finding(reason, f"driver's reasons: {', '.join(bit_names(reasons & mask))}", number)
        for reason, mask in _SLOWDOWNS.items()
        if reasons & mask
    ]


def _clock_out_of_line(
    summary: Summary, earlier: Sequence[Summary], limit: float, number: int
) -> list[Finding]:
    clock = summary.median("gpu_sm_mhz")
    known = [median for other in earlier if (median := other.median("gpu_sm_mhz")) is not None]
    if clock is None or len(known) < _EARLIER:
        return []
    usual = statistics.median(known)
    share = abs(clock / usual - 1)
    if share <= limit:
        return []
    return [
        finding(
            "sm_clock_spread", f"{clock:.0f} MHz here, {usual:.0f} MHz before: {_over(share, limit)}", number
        )
    ]


def _clock_spread(summaries: Sequence[Summary], limit: float) -> list[Finding]:
    """Over the blocks' medians: a boost clock that flickers by one step within a block is its nature."""
    clocks = [median for summary in summaries if (median := summary.median("gpu_sm_mhz")) is not None]
    if not clocks:
        return []
    share = (max(clocks) - min(clocks)) / statistics.median(clocks)
    if share <= limit:
        return []
    return [finding("sm_clock_spread", f"{min(clocks):.0f} to {max(clocks):.0f} MHz: {_over(share, limit)}")]


def _rise(gpu: Sequence[Sample], limit: float) -> list[Finding]:
    degrees = [sample["gpu_temperature_c"] for sample in gpu if "gpu_temperature_c" in sample]
    if len(degrees) < _LEAST_TEMPERATURES:
        return []
    quarter = len(degrees) // 4
    first, last = statistics.median(degrees[:quarter]), statistics.median(degrees[-quarter:])
    if last - first <= limit:
        return []
    return [finding("temperature_rising", f"{first:.0f} to {last:.0f} °C, above {limit:g} °C")]


def _host_load(summary: Summary, limit: float, number: int | None) -> list[Finding]:
    load = summary.host_load
    if load is None or load <= limit:
        return []
    return [
        finding("host_load", f"others used {100 * load:.1f} % of the cores, above {100 * limit:g} %", number)
    ]


def _power(reasons: int, summaries: Sequence[Summary]) -> list[Finding]:
    found = []
    if reasons & _POWER_CAP:
        capped = sum(bool((summary.reasons or 0) & _POWER_CAP) for summary in summaries)
        found.append(finding("power_cap", f"in {capped} of {len(summaries)} blocks", severity="warning"))
    if unknown := reasons & ~sum(BITS):
        found.append(finding("unknown_clock_reason", f"bits {unknown:#x}", severity="warning"))
    return found


def _over(share: float, limit: float) -> str:
    return f"{100 * share:.1f} %, above {100 * limit:g} %"


def judge_watch(gpu: dict[str, Any] | None) -> list[Finding]:
    """Whether the GPU could be watched at all.

    Args:
        gpu: Its part of the summary: `gone`, `errors` and `sampling`; none where there is no GPU to watch.
    """
    if gpu is None:
        return []
    because = gpu["gone"] or gpu["sampling"]["error"]
    if because:
        at = max((error["at_s"] for error in gpu["errors"].values()), default=0.0)
        when = f" after {at:.1f} s" if gpu["sampling"]["samples"] else ""
        return [finding("not_watched", f"{because}{when}", severity="warning")]
    blind = [column for column in ("gpu_reasons", "gpu_sm_mhz") if column in gpu["errors"]]
    return [
        finding("not_watched", f"{column}: {gpu['errors'][column]['error']}", severity="warning")
        for column in blind
    ]
