"""The verdict on a record's figures: a status, with reasons from a fixed list."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import cast

from esr.config.cards import SHIPPED
from esr.config.terms import Precision as PrecisionClass
from esr.config.terms import Role, Severity
from esr.evaluation.outside import MIB
from esr.evaluation.subject import Subject
from esr.evaluation.worker.messages import InspectAnswer
from esr.records.document import Precision, Process, Reason, Verdict
from esr.records.network import Complexity, Memory, TruthCheck
from esr.records.reasons import IMPRECISION, TAINT, WARNING, status_of
from esr.telemetry.findings import Disturbance
from esr.timing import honesty
from esr.timing.launches import launch_bound

WORSE = 0.08
"""Fraction by which the error may grow from images to timed inputs, beyond its growth for the other network."""
FEW_SAMPLES = 0.2
"""Fraction, over the root of the number of passes compared, by which a sample's errors differ by chance: in six
passes over one small image, an honest network's excess was 0.06 once and above 0.08 once."""
WORSE_ALONE = 0.4
"""Likewise where no other network tells how much harder the altered inputs are."""
LEAST_NOISE, NOISE = 1.3, 2.0
"""Grey levels that noise and borders inside altered inputs add to an error, at least and at most: 1.3 to 1.8 for four
networks on a photograph, sharp or blurred. On smooth images that is a multiple of the error; a network that smooths
adds less, and says little of another."""
ANOTHER_SPREAD = 2.0
"""Factor between the spreads of outputs, over those of inputs, on timed inputs and on images."""
MORE_MACS = 1.05
"""Factor of operations on a real input over those counted without values, for the same size."""
LARGER_MACS = 1.5
"""Factor of operations per pixel on a real input over those for the counted size: windows and borders are padded."""
MORE_NUMBERS, FEWEST_SHARE = 1.5, 0.05
"""Numbers in a weight file over those registered, and parameters over numbers in the file: buffers may be many."""
PRODUCTS_SHARE = 0.2
"""Values combined with weights one by one over multiply-accumulates; under a hundredth in all shipped networks."""
LATER_MEMORY, LATER_MIB = 1.5, 32.0
"""Factor, and MiB besides, by which a later pass over no larger an image may take more memory than the first ones."""
WORKSPACE_SHARE, LIVE_SHARE = 0.25, 0.4
"""Memory that a pass writes to without allocating it, over its peak; peak over the tensors alive at once, which on a
CPU was above 1.3 for 88 networks. Half precision halves it, and a compiler may fuse operators."""
MOST_NAMED = 5
"""Replaced functions that a reason names."""
DRIVER_MIB = 512.0
"""Memory that the driver attributes to a worker beyond torch's: libraries' code and workspaces."""


def verdict(
    subjects: Sequence[Subject],
    clocks: Sequence[honesty.Clocks],
    precision: Precision | None,
    processes: Sequence[Process],
    found: Sequence[Disturbance],
    dependence: str | None = None,
) -> Verdict:
    """The status, with every reason.

    Args:
        subjects: Candidate and baseline.
        clocks: Their passes by the worker's clock and by the parent's.
        precision: Of the ratio; `None` without a ratio.
        processes: Repetitions in fresh processes.
        found: Disturbances of every block and of the run as a whole.
        dependence: Sign that the rounds depend on each other; `None`: none.
    """
    reasons = [
        reason
        for subject, other, times in zip(subjects, subjects[::-1], (clocks, clocks[::-1]), strict=True)
        for reason in _of_network(subject, other, *times)
    ]
    if not all(process.steady for process in processes):
        reasons.append(Reason("warmup_cap", TAINT, None, "the GPU was still getting warmer or faster"))
    if precision is not None and not precision.reached and _wanted(precision, processes):
        reasons.append(Reason("precision_not_reached", IMPRECISION, None, _missed(precision)))
    if dependence:
        reasons.append(Reason("rounds_dependent", WARNING, None, dependence))
    reasons += _not_captured(subjects)
    reasons += _of_telemetry(subjects, found)
    severities = [reason.severity for reason in reasons]
    return Verdict(status_of(severities, failed=any(subject.failure for subject in subjects)), tuple(reasons))


_CLASSES: Mapping[str, PrecisionClass] = {
    "float16": "fp16",
    "bfloat16": "bf16",
    **dict.fromkeys(("int8", "uint8", "qint8", "quint8"), "int8"),
}
"""Type of an operator's result -> the class that it puts a network in."""
_SUMS = ("int32", "qint32")
"""Types in which products of 8-bit integers are added."""
_HALF_TYPES = ("float16", "bfloat16", "fp16", "bf16", "int8")
_COARSEST: Sequence[PrecisionClass] = ("int8", "bf16", "fp16", "tf32")


def precision_class(subject: Subject) -> PrecisionClass:
    """The declared precision class, else the lowest that was found."""
    found = {_CLASSES[dtype] for dtype in subject.precisions if dtype in _CLASSES}
    if subject.report and subject.report.cudnn.allow_tf32 and subject.on_gpu:
        found.add("tf32")
    if declared := subject.model.precision:
        return cast(PrecisionClass, declared)
    return next((one for one in _COARSEST if one in found), "fp32")


def _undeclared(subject: Subject) -> dict[str, tuple[str, ...]]:
    """Types other than float32 that the declared class does not cover, with their operators."""
    declared = subject.model.precision
    covered = {dtype for dtype, one in _CLASSES.items() if one == declared} | set(_SUMS if declared == "int8" else ())
    return {dtype: names for dtype, names in subject.precisions.items() if dtype not in covered}


_HALF_KERNEL = re.compile(
    r"f16b?f16|h(?:16816|1688|884)|s16816|hgemm|hmma|(?:conv|gemm)\w*<(?:__half|__nv_bfloat16|c10::Half|c10::BFloat16)"
)
"""In the names of kernels that multiply matrices or convolve in half precision."""


def _half_kernels(subject: Subject) -> list[str]:
    """Kernels of a pass that no operator was watched in, where the watched one ran in float32."""
    known = [name for name in (*subject.precisions, subject.model.precision) if name in _HALF_TYPES]
    return [one.name for one in subject.kernels or () if not known and _HALF_KERNEL.search(one.name)]


def _of_network(subject: Subject, other: Subject, clocks: honesty.Clocks, others: honesty.Clocks) -> list[Reason]:
    unsettled = [entry.lr_shape for entry in subject.warmup if not entry.settled]
    switches = (f"{name}={_word(value)}" for name, value in subject.switches_changed.items())
    dtypes = [f"{dtype} in {', '.join(names)}" for dtype, names in _undeclared(subject).items()]
    dtypes += [f"the kernel {kernel}" for kernel in _half_kernels(subject)[:1]]
    late = honesty.unaccounted(clocks, others)
    if late is None and subject.report is not None and not subject.on_gpu:
        claimed, own = sum(subject.samples.ms), subject.harness_computed_ms
        late = honesty.computed_more(claimed, own, 1000 * subject.computed_s, subject.report.threads)
    if late is None and subject.role == "candidate":
        late = honesty.ratio_moved(clocks, others)
    details = {
        "outputs_differ": _differing(subject),
        "quality_differs": _worse(subject, other),
        "input_changed": "found in a watched pass" if subject.changes_input else None,
        "warmup_cap": ", ".join(f"LR {height}×{width}" for height, width in unsettled),
        "time_unaccounted": late,
        "time_impossible": honesty.impossible(clocks.claimed.sum(axis=1), clocks.least_ms),
        "precision_changed": "; ".join(dtypes),
        "switches_changed": ", ".join(switches),
        "work_uncounted": subject.unproven or _work_uncounted(subject),
        "parameters_uncounted": _parameters_uncounted(subject),
        "memory_uncounted": _memory_uncounted(subject),
        "harness_replaced": ", ".join(sorted(subject.replaced)[:MOST_NAMED]),
    }
    reasons = [Reason(name, TAINT, subject.role, detail) for name, detail in details.items() if detail]
    check = subject.output_check
    words = "compared with what repetitions differ by" if check.compared else "not compared"
    warnings = {
        "launch_bound": launch_bound(subject.counted, subject.samples),
        "stochastic": words if check.stochastic else None,
        "training_form": subject.training_form,
        "below_bicubic": subject.below_bicubic,
    }
    return reasons + [Reason(name, WARNING, subject.role, detail) for name, detail in warnings.items() if detail]


def _differing(subject: Subject) -> str | None:
    check = subject.output_check
    if not check.differing:
        return None
    by = f"by up to {check.largest_difference:.3g} grey levels ({check.tolerance:.2g} is allowed)"
    return f"{check.differing} of {check.compared} repeated passes, {by}"


def compare_truth(subject: Subject, other: Subject) -> TruthCheck | None:
    """A network's error on timed inputs against that on images; `None` without HR or before both are known."""
    before, now = subject.on_images.relative_error, subject.on_timed.relative_error
    if before is None or now is None or before <= 0:
        return None
    harder = _harder(subject, other, before)
    return TruthCheck(before, now, subject.on_timed.passes, now / before - (harder or 1.0))


def _harder(subject: Subject, other: Subject, error: float) -> float | None:
    """Factor by which altered inputs are harder, as another network tells; `None` if that one is worse than its input.

    The larger of the factor by which the other's error grew, and of what its growth is to this error: noise adds to
    errors, so that the better network's grows by the larger factor.

    Args:
        subject: The network in question.
        other: The other network.
        error: Relative error of the one in question on the images.
    """
    before, now = other.on_images.relative_error, other.on_timed.relative_error
    if before is None or now is None or not 0 < before < 1:
        return None
    least = 1 + _added(subject, error, LEAST_NOISE)
    return min(max(now / before, 1 + (now - before) / error, least), 1 + _most_harder(subject, error))


def _added(subject: Subject, error: float, levels: float) -> float:
    """Growth of a relative error by grey levels."""
    return levels * subject.on_timed.passes / (subject.on_timed.plain_error * error)


def _most_harder(subject: Subject, error: float) -> float:
    """Growth of a relative error that altered inputs alone may explain."""
    return max(WORSE_ALONE, _added(subject, error, NOISE))


def _worse(subject: Subject, other: Subject) -> str | None:
    truth = compare_truth(subject, other)
    if truth is not None and not subject.model._target_.startswith(SHIPPED):  # our code does the same with every input
        harder = _harder(subject, other, truth.quality) if truth.quality < 1 else None
        chance = FEW_SAMPLES / math.sqrt(max(1, truth.passes))
        most = (WORSE + chance) * max(1.0, harder) if harder else _most_harder(subject, truth.quality) + chance
        if truth.excess > most:
            return f"error of {truth.timed:.3g} times the input's on timed passes, {truth.quality:.3g} on the images"
    before, now = subject.on_images.relative_spread, subject.on_timed.relative_spread
    if before and now is not None and not 1 / ANOTHER_SPREAD <= now / before <= ANOTHER_SPREAD:
        return f"outputs vary {now:.3g} times as much as inputs on timed passes, {before:.3g} on the images"
    return _computes_more(subject)


def _computes_more(subject: Subject) -> str | None:
    """Words for more work on an image as it is than on a timed input, both over what their sizes need."""
    image, timed, counted = subject.watched_image, subject.inspected, subject.extrapolated
    if image is None or timed is None or counted is None or not image.counted_macs or not counted.macs:
        return None
    of_image, of_timed = image.found.macs / image.counted_macs, timed.macs / (subject.tiles * counted.macs)
    if of_image <= MORE_MACS * of_timed:
        return None
    return f"{of_image:.3g} times the multiply-accumulates counted for its size on an image, {of_timed:.3g} when timed"


def _work_uncounted(subject: Subject) -> str | None:
    found, counted, same_size = subject.inspected, subject.complexity, subject.extrapolated
    if found is None:
        return None
    image = subject.watched_image
    if hidden := _not_multiplied(subject, found) or (_not_multiplied(subject, image.found) if image else None):
        return hidden
    if same_size is not None and found.macs > MORE_MACS * subject.tiles * same_size.macs:
        whole = subject.tiles * same_size.macs
        return f"{found.macs} multiply-accumulates on a real input, {whole} counted for its size"
    if counted is not None and same_size is not None:
        fixed = found.fixed if subject.model.tile.size is None else 0
        real, expected = _per_pixel(same_size, fixed), _per_pixel(counted, fixed)
        if real > LARGER_MACS * expected:
            more = f"{real:.0f} multiply-accumulates per pixel on a real input's size"
            return f"{more}, {expected:.0f} on the counted size"
    return None


def _not_multiplied(subject: Subject, found: InspectAnswer) -> str | None:
    """Work of a watched pass that no count of multiplications includes, in words."""
    if unseen := _outside(subject, found):
        return f"{unseen} outside PyTorch's operators"
    if found.products > PRODUCTS_SHARE * found.macs:
        return f"{found.products} values combined with weights one by one, {found.macs} multiply-accumulates counted"
    if not found.macs and found.unknown:
        return f"no multiplication counted, and {found.unknown[0]} has no formula"
    if unknown := subject.unnamed(found):
        return f"{unknown[0]}, which has no formula, on a real input only"
    return None


def _outside(subject: Subject, found: InspectAnswer) -> str | None:
    """Work that no operator did, in words."""
    if not found.connected:
        return "the output made"
    if found.rewritten or (found.filled and not subject.names_outside):
        return f"{found.rewritten + found.filled} numbers changed"
    return None


def _per_pixel(counted: Complexity, fixed: int) -> float:
    """Multiply-accumulates per pixel, without those that a pass makes whatever its input is, as fusing its weights."""
    return max(0, counted.macs - fixed) / math.prod(counted.input_shape[-2:])


def _parameters_uncounted(subject: Subject) -> str | None:
    watched = (subject.inspected, subject.watched_image.found if subject.watched_image else None)
    if hidden := max((one.hidden for one in watched if one), default=0):
        return f"{hidden} numbers multiplied like weights are no parameters"
    used = max((one.params for one in watched if one), default=0)
    if subject.complexity is not None and used > subject.complexity.params:
        return f"{used} parameters used in a pass, {subject.complexity.params} counted"
    fused = subject.model.after_load is not None or subject.own_loading
    if fused or subject.complexity is None or subject.numbers is None:
        return None
    params, numbers = subject.complexity.params, subject.numbers
    if numbers > MORE_NUMBERS * subject.registered or params < FEWEST_SHARE * numbers:
        return f"{params} parameters counted, {numbers} numbers in the weight file"
    return None


def _memory_uncounted(subject: Subject) -> str | None:
    memory, later, context = subject.memory, subject.later_memory, subject.outside.context_mib
    if memory is None:
        return None
    most = LATER_MEMORY * memory.memory_mib + LATER_MIB
    if later is not None and later.method == memory.method and later.memory_mib > most:
        return f"{later.memory_mib:.0f} MiB in a later pass, {memory.memory_mib:.0f} MiB in the first"
    if memory.device_mib is not None and memory.reserved_mib is not None and context is not None:
        seen = memory.device_mib - context
        if seen > memory.reserved_mib + DRIVER_MIB:
            return f"{seen:.0f} MiB by the driver, {memory.reserved_mib:.0f} MiB reserved as torch reports"
    return _memory_early(subject, memory)


def _memory_early(subject: Subject, memory: Memory) -> str | None:
    """Memory that was taken before the pass that it is measured in."""
    workspace = subject.inspected.workspace / MIB if subject.inspected else 0.0
    if workspace > max(1, WORKSPACE_SHARE * memory.memory_mib):
        return f"{memory.memory_mib:.3g} MiB, and {workspace:.3g} MiB that a pass works in and did not allocate"
    least = _live_mib(subject, memory)
    if memory.memory_mib + 1 < LIVE_SHARE * least:
        return f"{memory.memory_mib:.3g} MiB in the first pass, whose own tensors need {least:.3g} MiB"
    return None


def _live_mib(subject: Subject, memory: Memory) -> float:
    """Memory of the tensors that are alive at once in the pass that `memory` was measured in; 0 if not known."""
    counted = subject.extrapolated
    if counted is None or counted.live_memory is None:
        return 0.0
    whole = memory.lr_shape is not None and subject.model.tile.size is None
    area = math.prod(memory.lr_shape) / math.prod(counted.input_shape[-2:]) if memory.lr_shape and whole else 1.0
    return area * counted.live_memory.activations / MIB


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
