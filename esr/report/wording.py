"""Words for figures and findings, whatever the report is printed on."""

from typing import Literal, TypeAlias

from esr.config.terms import Role
from esr.records.document import Networks, Reason, Timing
from esr.records.files import Record
from esr.records.network import Complexity, Estimate, Failure, Network, NetworkTiming
from esr.records.reasons import CPU_NOTE, REASONS, TAINT, WEIGHTS_NOTES, formula_note

DASH = "–"
"""Stands where there is no figure."""
_MINUTE, _HOUR = 60, 3600
CountName: TypeAlias = Literal["params", "flops", "macs", "activations", "convolutions"]
_PUBLISHED = (
    ("runtime [ms]", "runtime_ms", 2, ""),
    ("params", "params_m", 3, " M"),
    ("FLOPs (challenge)", "flops_g", 2, " G"),
    ("activations", "activations_m", 2, " M"),
    ("convolutions", "convolutions", 0, ""),
    ("peak memory [MiB]", "memory_mib", 1, ""),
)
ONE_PAIR = (
    "one pair of processes: on a CPU another pair's ratio may differ by a percent, which the interval does not "
    "include; timing.processes=4 timing.max_seconds=15 takes as long and includes it"
)


def number(value: float | None, digits: int) -> str:
    """A figure with so many decimals; a dash for `None`.

    >>> number(28.434, 2), number(None, 2)
    ('28.43', '–')
    """
    return DASH if value is None else f"{value:.{digits}f}"


def interval(estimate: Estimate | None, digits: int) -> str:
    """An estimate with its interval.

    >>> interval(Estimate(0.5, 0.49, 0.51), 2), interval(Estimate(0.5), 2)
    ('0.50 [0.49, 0.51]', '0.50')
    """
    if estimate is None:
        return DASH
    text = number(estimate.value, digits)
    if estimate.low is None:
        return text
    return f"{text} [{number(estimate.low, digits)}, {number(estimate.high, digits)}]"


def count(complexity: Complexity | None, name: CountName, unit: float, suffix: str, digits: int) -> str:
    """A count in a unit; `≥` where operators without a formula are left out."""
    if complexity is None:
        return DASH
    value: int = getattr(complexity, name)
    least = "≥ " if name == "macs" and complexity.without_formula else ""
    return f"{least}{number(value / unit, digits)} {suffix}".rstrip()


def duration(seconds: float) -> str:
    """A span in words, rounded.

    >>> duration(42), duration(600), duration(9000)
    ('42 s', '10 min', '2 h 30 min')
    """
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    hours, rest = divmod(round(seconds / _MINUTE), _MINUTE)
    return f"{hours} h {rest} min"


def live_memory(network: Network) -> float | None:
    """MiB of live tensors at the peak of one pass over the counted size, weights and input included."""
    live = network.complexity and network.complexity.live_memory
    return live.total / 2**20 if live else None


def published_rows(network: Network) -> dict[str, str]:
    """Published figures, by the label of the row that shows the measured one."""
    return {
        label: number(value, digits) + suffix
        for label, name, digits, suffix in _PUBLISHED
        if (value := getattr(network.card.published, name, None)) is not None
    }


def verdict_words(record: Record, role: Role) -> str:
    """`clean`, `failed`, or `tainted` with the reasons that concern this network or both."""
    if failure := record.document.networks.of(role).failure:
        return f"failed: {failure.kind}"
    taints = {
        found.reason for found in record.verdict.reasons if found.role in (role, None) and found.severity == TAINT
    }
    return f"tainted: {', '.join(sorted(taints))}" if taints else "clean"


def failure_words(failure: Failure) -> str:
    """Stage, kind and message of a failure, to follow `failed`."""
    return f"during '{failure.stage}' ({failure.kind}): {failure.message}"


def footnotes(record: Record) -> list[str]:
    """Notes below the figures: weights, failures, taints, omissions, conditions."""
    networks = record.document.networks
    candidate, baseline = networks.candidate, networks.baseline
    notes = [f"{candidate.name}: {line}" for line in _network_notes(candidate)]
    notes += [f"{baseline.name} (baseline): {line}" for line in _network_notes(baseline)]
    notes += [reason_line(networks, found) for found in record.verdict.reasons]
    timing = record.document.timing
    if timing.protocol == "single":
        notes.append(
            "one unwarmed pass, as the challenge's script takes it: no interval, not comparable with paired rounds"
        )
    elif timing.ratio is not None:
        own = [network.timing for network in (candidate, baseline) if network.timing]
        notes.append(
            f"in brackets: {timing.confidence * 100:g} % interval, bootstrapped over "
            f"{len(timing.ratio_per_round)} rounds{_in_processes(timing)}; {_outliers(own)}"
        )
    if timing.aa:
        notes.append("A/A: the same network twice; the ratio's distance from 1 is this machine's noise")
    worker = candidate.worker or baseline.worker
    if worker and worker.device.kind == "cpu":
        has_interval = timing.ratio is not None and timing.ratio.low is not None
        notes += [*([ONE_PAIR] if has_interval and len(timing.processes) == 1 else []), CPU_NOTE]
    return notes


def _outliers(timings: list[NetworkTiming]) -> str:
    flagged, passes = sum(one.outliers for one in timings), sum(one.passes for one in timings)
    return f"{flagged} of {passes} passes are flagged as outliers, all are kept"


def _in_processes(timing: Timing) -> str:
    processes, spread = len(timing.processes), timing.spread
    if processes < 2 or spread is None:  # noqa: PLR2004 - a single process differs from none
        return ""
    within, between = (number((part or 0) * 100, 2) for part in (spread.within, spread.between))
    return f" in {processes} fresh processes; spread within {within} %, between {between} %"


def reason_line(networks: Networks, found: Reason) -> str:
    """A reason of the verdict as a sentence: network, meaning and figures."""
    who = f"{networks.of(found.role).name}: " if found.role else ""
    mark = "" if found.severity == TAINT else "warning: "
    return f"{mark}{who}{REASONS[found.reason]} ({found.detail})"


def _network_notes(network: Network) -> list[str]:
    notes = []
    if network.weights.source in WEIGHTS_NOTES:
        notes.append(WEIGHTS_NOTES[network.weights.source])
    if network.weights.note:
        notes.append(network.weights.note)
    if network.failure:
        notes.append(f"failed {failure_words(network.failure)}")
    if network.uncounted:
        notes.append(f"not counted: {network.uncounted}; try complexity.height and complexity.width")
    if network.complexity and network.complexity.without_formula:
        notes.append(formula_note(network.complexity.without_formula))
    return notes
