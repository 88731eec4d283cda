"""Every reason that a verdict can give."""

from collections.abc import Collection, Mapping
from typing import Annotated, TypeAlias, get_args

from msgspec import Meta

from esr.config.terms import Severity, Status

TELEMETRY_REASONS = {
    "hw_slowdown": "the GPU's hardware slowed its clocks down: temperature, power brake or supply",
    "thermal_slowdown": "the GPU slowed its clocks down because it was too hot",
    "power_cap": "the GPU held its clocks back to stay below its power limit",
    "sm_clock_spread": "the SM clock was not the same throughout",
    "temperature_rising": "the GPU was still warming up during timing",
    "other_process": "another process used the GPU",
    "host_load": "CPU contention from other processes",
    "cycles_disagree": "in GPU cycles the ratio is another: the two networks did not run at the same SM clock",
    "mig_device": "a MIG device was used: clocks, temperature, power and energy are those of its whole GPU",
    "unknown_clock_reason": "the driver gave a reason for its clocks that has no known name",
    "not_watched": "the GPU could not be watched: throttling not checked",
}
"""Reasons that telemetry finds -> what each means."""

REASONS = {
    "outputs_differ": "outputs of timed passes differ from those of another process over the same inputs",
    "quality_differs": "outputs of timed passes are worse than those that quality was measured on",
    "stochastic": "the same input gives different outputs",
    "input_changed": "the network writes to its input, so that later passes over it see another image",
    "training_form": "the network is in its training form: blocks that can be fused for inference are not",
    "below_bicubic": "its PSNR is below that of bicubic interpolation: check data_range, channel order and weights",
    "warmup_cap": "warm-up limit reached before runtimes stabilised",
    "precision_not_reached": "target precision not reached",
    "rounds_dependent": "successive rounds depend on each other: the interval is wider than their number suggests",
    "remembers_inputs": "passes over inputs seen before are faster than passes over new ones",
    "time_unaccounted": "the worker reports less time than passed on the parent's clock",
    "time_impossible": "the worker claims less time than the device takes for the network's multiplications",
    "work_uncounted": "work that no count shows: outside PyTorch's operators, or other than on the counted input",
    "parameters_uncounted": "numbers that the network computes with are not registered as parameters or buffers",
    "memory_uncounted": "passes need more memory than was measured: later, taken before, or by the driver's account",
    "harness_replaced": "the network replaced functions that measure, in its own process",
    "launch_bound": "the GPU waited for the host to launch its work: runtime and ratio measure the host",
    "not_captured": "the network could not be captured as a CUDA graph: the host launched its work in every pass",
    "precision_changed": "the network does not run in float32",
    "switches_changed": "the network changed what the configuration sets: cuDNN, TF32, threads, CPUs",
    **TELEMETRY_REASONS,
}
"""Reason -> what it means."""

ReasonName: TypeAlias = Annotated[str, Meta(extra_json_schema={"enum": [*REASONS]})]
"""A key of `REASONS`."""

DISQUALIFYING = {
    "outputs_differ",
    "quality_differs",
    "time_unaccounted",
    "time_impossible",
    "work_uncounted",
    "parameters_uncounted",
    "memory_uncounted",
    "harness_replaced",
}
"""Reasons for which a network is not ranked unless that is asked for: its figures are not those of the work it does."""
TAINT: Severity = "taint"
IMPRECISION: Severity = "imprecision"
WARNING: Severity = "warning"
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""The gravest first."""
STATUSES: tuple[Status, ...] = get_args(Status)
"""The gravest last."""
CPU_NOTE = "CPU; not comparable with published milliseconds, nor with published memory"
WEIGHTS_NOTES = {
    "bundled": "bundled weights (lower PSNR than published)",
    "random": "random weights: quality is not meaningful and not shown",
}
"""Source of the weights -> what a reader of the figures must know."""


def scripted_note(modules: int) -> str:
    """Note on modules that the challenge's way of counting does not see.

    >>> scripted_note(2)
    '2 TorchScript modules: MACs include their work, FLOPs, activations and convolutions do not'
    """
    return f"{modules} TorchScript modules: MACs include their work, FLOPs, activations and convolutions do not"


def status_of(severities: Collection[Severity], *, failed: bool) -> Status:
    """The status that follows from the reasons' severities.

    >>> status_of(["warning", "imprecision"], failed=False)
    'imprecise'
    """
    if failed:
        return "failed"
    if TAINT in severities:
        return "tainted"
    return "imprecise" if IMPRECISION in severities else "clean"


def formula_note(without_formula: Mapping[str, int]) -> str:
    """Note on the operators that MACs leave out.

    >>> formula_note({"aten.mul": 3})
    'MACs leave out operators without a formula: aten.mul ×3'
    """
    named = ", ".join(f"{name} ×{calls}" for name, calls in without_formula.items())
    return f"MACs leave out operators without a formula: {named}"
