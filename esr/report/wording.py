"""How figures and findings are worded, whatever the report is printed on."""

from typing import Any

from esr.records.files import Record
from esr.records.reasons import CPU_NOTE, REASONS, TAINT

Network = dict[str, Any]

_PUBLISHED = (
    ("ms per image", "time_ms", 2, ""),
    ("params", "params_m", 3, " M"),
    ("FLOPs (challenge)", "flops_g", 2, " G"),
    ("activations", "activations_m", 2, " M"),
    ("convolutions", "convolutions", 0, ""),
    ("peak memory [MiB]", "memory_mib", 1, ""),
)
ONE_PAIR = (
    "one pair of processes: on a CPU another pair's ratio may lie a percent off, which the interval cannot know of; "
    "timing.processes=4 timing.max_seconds=15 takes as long and tells"
)
_WEIGHTS_NOTES = {
    "bundled": "bundled: trained by this project, below the published ones",
    "random": "random: quality is not meaningful and not shown",
}


def number(value: float | None, digits: int) -> str:
    """A figure with so many decimals; a dash where there is none.

    >>> number(28.434, 2), number(None, 2)
    ('28.43', '–')
    """
    return "–" if value is None else f"{value:.{digits}f}"


def interval(estimate: dict[str, float | None] | None, digits: int) -> str:
    """An estimate with its interval.

    >>> interval({"value": 0.5, "low": 0.49, "high": 0.51}, 2)
    '0.50 [0.49, 0.51]'
    >>> interval({"value": 0.5, "low": None, "high": None}, 2)
    '0.50'
    """
    if estimate is None:
        return "–"
    text = number(estimate["value"], digits)
    if estimate["low"] is None:
        return text
    return f"{text} [{number(estimate['low'], digits)}, {number(estimate['high'], digits)}]"


def count(network: Network, key: str, unit: float, suffix: str, digits: int) -> str:
    """A figure of the network's complexity in a unit; `≥` where operators without a formula are left out."""
    complexity = counted(network)
    if complexity is None:
        return "–"
    lower_bound = key == "macs" and complexity["without_formula"]
    return f"{'≥ ' if lower_bound else ''}{number(complexity[key] / unit, digits)} {suffix}".rstrip()


def counted(network: Network) -> dict[str, Any] | None:
    """The network's complexity; none where it failed before or could not be counted."""
    complexity: dict[str, Any] | None = network["complexity"]
    return None if complexity is None or "unavailable" in complexity else complexity


def live_memory(network: Network) -> float | None:
    """MiB of live tensors at the peak of one pass, weights and input included, on the counted size."""
    complexity = counted(network)
    return complexity["live_memory"]["total"] / 2**20 if complexity else None


def published_rows(network: Network) -> dict[str, str]:
    """The published figures by the label of the row that shows the measured one."""
    published = network["card"]["published"]
    return {
        label: number(published[key], digits) + suffix
        for label, key, digits, suffix in _PUBLISHED
        if published.get(key) is not None
    }


def verdict_words(record: Record, network: Network) -> str:
    """`clean`, `failed`, or `tainted` with the reasons that concern this network or both."""
    if network["failure"]:
        return f"failed: {network['failure']['kind']}"
    role = "candidate" if network is record.candidate else "baseline"
    reasons = sorted(
        {
            entry["reason"]
            for entry in record.verdict["reasons"]
            if entry["network"] in (role, None) and entry["severity"] == TAINT
        }
    )
    return f"tainted: {', '.join(reasons)}" if reasons else "clean"


def footnotes(record: Record) -> list[str]:
    """What a reader has to know beside the figures: weights, failures, taints, omissions, conditions."""
    notes = []
    for role, network in record.document["networks"].items():
        name = network["name"] if role == "candidate" else f"{network['name']} (baseline)"
        notes += [f"{name}: {line}" for line in _network_notes(network)]
    notes += [reason_line(record, entry) for entry in record.verdict["reasons"]]
    timing = record.document["timing"]
    if timing["protocol"] == "single":
        notes.append(
            "one unwarmed pass, as the challenge's script takes it: no interval, not comparable with paired rounds"
        )
    elif timing["ratio"] is not None:
        percent = f"{timing['confidence'] * 100:g}"
        notes.append(
            f"in brackets: {percent} % interval, bootstrapped over {len(timing['ratio_per_round'])} rounds"
            f"{_in_processes(timing)}; {_outliers(record)}"
        )
    if timing["aa"]:
        notes.append("A/A: the same network twice; the ratio's distance from 1 is this machine's noise")
    runtime = record.candidate["runtime"] or record.baseline["runtime"]
    device = runtime.get("device") or {}
    if device.get("kind") == "cpu":
        has_interval = (timing["ratio"] or {}).get("low") is not None
        if has_interval and len(timing["processes"]) == 1:
            notes.append(ONE_PAIR)
        notes.append(CPU_NOTE)
    return notes


def _outliers(record: Record) -> str:
    networks = [network["timing"] for network in record.document["networks"].values() if network["timing"]]
    marked = sum(timing["outliers"] for timing in networks)
    passes = sum(len(timing["samples"]["ms"]) for timing in networks)
    return f"{marked} of {passes} passes are marked as outliers, none is dropped"


def _in_processes(timing: dict[str, Any]) -> str:
    count = len(timing["processes"])
    if count < 2:  # noqa: PLR2004 - one process has nothing to differ from
        return ""
    within, between = (number((timing["spread"][key] or 0) * 100, 2) for key in ("within", "between"))
    return f" in {count} fresh processes; spread within {within} %, between {between} %"


def reason_line(record: Record, entry: dict[str, Any]) -> str:
    """A reason of the verdict as a sentence: whom it concerns, what it means, and the figures."""
    role = entry["network"]
    who = f"{record.document['networks'][role]['name']}: " if role else ""
    mark = "" if entry["severity"] == TAINT else "warning: "
    return f"{mark}{who}{REASONS.get(entry['reason'], entry['reason'])} ({entry['detail']})"


def _network_notes(network: Network) -> list[str]:
    notes = []
    weights = network["weights"]
    if weights["source"] in _WEIGHTS_NOTES:
        notes.append(f"weights {_WEIGHTS_NOTES[weights['source']]}")
    if weights.get("note"):
        notes.append(weights["note"])
    if network["failure"]:
        failure = network["failure"]
        notes.append(f"failed while doing '{failure['stage']}' ({failure['kind']}): {failure['message']}")
    complexity = network["complexity"] or {}
    if complexity.get("unavailable"):
        notes.append(f"not counted: {complexity['unavailable']}; try complexity.height and complexity.width")
    if complexity.get("without_formula"):
        named = ", ".join(f"{name} ×{calls}" for name, calls in complexity["without_formula"].items())
        notes.append(f"MACs leave out operators without a formula: {named}")
    return notes
