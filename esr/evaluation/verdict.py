"""The verdict on a record's figures: `clean`, `tainted` or `failed`, with reasons from a fixed list."""

from collections.abc import Mapping, Sequence
from typing import cast

from esr.config.terms import Precision as PrecisionClass
from esr.config.terms import Role, Severity, Status
from esr.evaluation.subject import OUTPUT_TOLERANCE, Subject
from esr.records.document import Precision, Process, Reason, Verdict
from esr.records.reasons import TAINT, WARNING
from esr.telemetry.findings import Disturbance
from esr.timing import honesty
from esr.timing.launches import launch_bound


def verdict(
    subjects: Sequence[Subject], precision: Precision | None, processes: Sequence[Process], found: Sequence[Disturbance]
) -> Verdict:
    """The status, with every reason.

    Args:
        subjects: Candidate and baseline.
        precision: Of the ratio; `None` without a ratio.
        processes: Repetitions in fresh processes.
        found: Disturbances of every block and of the run as a whole.
    """
    reasons = [reason for subject in subjects for reason in _of_network(subject)]
    if not all(process.steady for process in processes):
        reasons.append(Reason("warmup_cap", TAINT, None, "the GPU was still getting warmer or faster"))
    if precision is not None and not precision.reached and _wanted(precision, processes):
        reasons.append(Reason("precision_not_reached", TAINT, None, _missed(precision)))
    reasons += _not_captured(subjects)
    reasons += _of_telemetry(subjects, found)
    status: Status = "tainted" if any(reason.severity == TAINT for reason in reasons) else "clean"
    if any(subject.failure for subject in subjects):
        status = "failed"
    return Verdict(status, tuple(reasons))


_DTYPES: Mapping[str, PrecisionClass] = {"float16": "fp16", "bfloat16": "bf16"}
"""Floating-point type of an operator's result -> the class that it puts a network in."""
_COARSEST: Sequence[PrecisionClass] = ("int8", "bf16", "fp16", "tf32")


def precision_class(subject: Subject) -> PrecisionClass:
    """The declared precision class, else the lowest that was found."""
    found = {_DTYPES[dtype] for dtype in subject.precisions if dtype in _DTYPES}
    if subject.report and subject.report.cudnn.allow_tf32 and subject.report.device.kind == "cuda":
        found.add("tf32")
    if declared := subject.model.precision:
        return cast(PrecisionClass, declared)
    return next((one for one in _COARSEST if one in found), "fp32")


def _undeclared(subject: Subject) -> dict[str, tuple[str, ...]]:
    """Floating-point types other than float32 that the declared class does not cover, with their operators."""
    declared = subject.model.precision
    return {dtype: names for dtype, names in subject.precisions.items() if _DTYPES.get(dtype, "") != declared}


def _of_network(subject: Subject) -> list[Reason]:
    check = subject.output_check
    differing = (
        f"{check.differing + check.stale} of {check.compared} checked passes, by up to "
        f"{check.largest_difference} grey levels ({OUTPUT_TOLERANCE} is allowed)"
    )
    if check.stale:
        differing += f"; {check.stale} gave an earlier image's output"
    unsettled = [entry.lr_shape for entry in subject.warmup if not entry.settled]
    switches = (f"{name}={_word(value)}" for name, value in subject.switches_changed.items())
    dtypes = (f"{dtype} in {', '.join(names)}" for dtype, names in _undeclared(subject).items())
    details = {
        "outputs_differ": differing if check.differing or check.stale else None,
        "warmup_cap": ", ".join(f"LR {height}×{width}" for height, width in unsettled),
        "remembers_inputs": honesty.remembers_inputs(subject.samples),
        "time_unaccounted": honesty.unaccounted(subject.counted, subject.samples),
        "precision_changed": "; ".join(dtypes),
        "switches_changed": ", ".join(switches),
    }
    reasons = [Reason(name, TAINT, subject.role, detail) for name, detail in details.items() if detail]
    if launches := launch_bound(subject.counted, subject.samples):
        reasons.append(Reason("launch_bound", WARNING, subject.role, launches))
    return reasons


def _not_captured(subjects: Sequence[Subject]) -> list[Reason]:
    """Networks without the CUDA graph that was asked for; where the other has one, the ratio compares unlike things."""
    without = [subject for subject in subjects if subject.uncaptured]
    severity = WARNING if len(without) == len(subjects) else TAINT
    return [Reason("not_captured", severity, subject.role, subject.uncaptured or "") for subject in without]


def _word(value: object) -> str:
    return str(list(value) if isinstance(value, tuple) else value).lower()


def _wanted(precision: Precision, processes: Sequence[Process]) -> bool:
    """False where the number of rounds was given, or the target was narrowly missed by one process's last look."""
    return precision.stopped_by == "max_seconds" or (precision.stopped_by == "precision" and len(processes) > 1)


def _missed(precision: Precision) -> str:
    target = f"{precision.target * 100:g} %"
    if precision.width is None:
        return f"too few rounds for an interval; the target was {target}"
    return f"{precision.width * 100:.2g} % instead of {target}"


def _of_telemetry(subjects: Sequence[Subject], disturbances: Sequence[Disturbance]) -> list[Reason]:
    """One reason per kind of disturbance and network; blocks that were measured again do not count."""
    roles: dict[int | None, Role | None] = {
        block.block: subject.role for subject in subjects for block in subject.counted
    }
    roles[None] = None  # of the run as a whole
    grouped: dict[tuple[str, Severity, Role | None], list[Disturbance]] = {}
    for found in disturbances:
        if found.block in roles:
            grouped.setdefault((found.reason, found.severity, roles[found.block]), []).append(found)
    reasons = []
    for (name, severity, role), several in grouped.items():
        turns = sum(one == role for one in roles.values())
        where = f"in {len(several)} of {turns} turns, as " if role else ""
        reasons.append(Reason(name, severity, role, where + several[0].detail))
    return reasons
