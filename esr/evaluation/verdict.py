"""Whether a record's figures can be relied upon: `clean`, `tainted` or `failed`, from a fixed list of reasons."""

from collections.abc import Sequence
from typing import Any

from esr.evaluation.subject import OUTPUT_TOLERANCE, Subject
from esr.records.reasons import TAINT
from esr.telemetry.verdict import Finding
from esr.timing import honesty

Reason = dict[str, Any]


def verdict(
    subjects: Sequence[Subject],
    precision: dict[str, Any] | None,
    processes: Sequence[dict[str, Any]],
    findings: Sequence[Finding],
) -> dict[str, Any]:
    """The status with every reason: what it concerns, how grave it is, and a line that explains it.

    Args:
        subjects: The networks.
        precision: The record's, of the ratio; none where there is no ratio.
        processes: The record's: whether the device was at rest when timing began.
        findings: Telemetry's, of the run and of every block.
    """
    reasons = [reason for subject in subjects for reason in _of_network(subject)]
    if not all(entry["steady"] for entry in processes):
        reasons.append(_reason("warmup_cap", None, "the GPU still got warmer or faster"))
    if precision is not None and not precision["reached"] and _wanted(precision, processes):
        reasons.append(_reason("precision_not_reached", None, _missed(precision)))
    reasons += _of_telemetry(subjects, findings)
    if any(subject.failure for subject in subjects):
        status = "failed"
    else:
        status = "tainted" if any(entry["severity"] == TAINT for entry in reasons) else "clean"
    return {"status": status, "reasons": reasons}


def _reason(reason: str, network: str | None, detail: str, severity: str = TAINT) -> Reason:
    return {"reason": reason, "severity": severity, "network": network, "detail": detail}


def _of_network(subject: Subject) -> list[Reason]:
    check = subject.outputs
    differing = (
        f"{check.differing + check.stale} of {check.compared} checked passes, by up to "
        f"{check.largest_difference} grey levels ({OUTPUT_TOLERANCE} is allowed)"
    )
    if check.stale:
        differing += f"; {check.stale} gave an earlier image's output"
    unsettled = [entry["lr_shape"] for entry in subject.warmup if not entry["settled"]]
    turned = ", ".join(f"{name}={str(value).lower()}" for name, value in subject.switches_changed.items())
    computed = "; ".join(f"{dtype} in {', '.join(names)}" for dtype, names in subject.precisions.items())
    counted = [entry for entry in subject.blocks if not entry["replaced"]]
    details = {
        "outputs_differ": differing if check.differing or check.stale else None,
        "warmup_cap": ", ".join(f"LR {height}×{width}" for height, width in unsettled) or None,
        "remembers_inputs": honesty.remembers_inputs(subject.columns),
        "time_unaccounted": honesty.unaccounted(counted, subject.columns),
        "precision_changed": computed or None,
        "switches_changed": turned or None,
    }
    return [_reason(name, subject.role, detail) for name, detail in details.items() if detail]


def _wanted(precision: dict[str, Any], processes: Sequence[dict[str, Any]]) -> bool:
    """Whether the rounds were to reach it: not where their number was given, nor where it was reached by a hair."""
    several = len(processes) > 1 and precision["stopped_by"] == "precision"
    return several or bool(precision["stopped_by"] == "max_seconds")


def _missed(precision: dict[str, Any]) -> str:
    target = f"{precision['target'] * 100:g} %"
    if precision["width"] is None:
        return f"too few rounds for an interval; the target was {target}"
    return f"{precision['width'] * 100:.2g} % instead of {target}"


def _of_telemetry(subjects: Sequence[Subject], findings: Sequence[Finding]) -> list[Reason]:
    """One reason for each kind of finding and network; of blocks that were measured again nothing is held."""
    counted = {
        entry["block"]: subject.role
        for subject in subjects
        for entry in subject.blocks
        if not entry["replaced"]
    }
    grouped: dict[tuple[str, str, str | None], list[Finding]] = {}
    for found in findings:
        if found["window"] is None:
            grouped.setdefault((found["reason"], found["severity"], None), []).append(found)
        elif found["window"] in counted:
            key = (found["reason"], found["severity"], counted[found["window"]])
            grouped.setdefault(key, []).append(found)
    reasons = []
    for (name, severity, network), several in grouped.items():
        turns = sum(role == network for role in counted.values())
        where = f"in {len(several)} of {turns} turns, as " if network else ""
        reasons.append(_reason(name, network, where + several[0]["detail"], severity))
    return reasons
