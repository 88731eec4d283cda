"""PSNR gates: networks on par with the baseline, and cases where rounding would decide otherwise."""

from esr.ranking.challenge import Challenge, PsnrGate
from esr.ranking.structures import Entry, GateResult

PRINTED_DECIMALS = 2
"""Decimals of the PSNR in the challenges' tables."""
_EXACT = 1e-9
"""dB; absorbs the rounding error of 29.13 − 0.20 in binary fractions."""


def gate_results(entry: Entry, challenge: Challenge) -> tuple[GateResult, ...]:
    """Tests a network against the gate of every data set its PSNR is known on; unrounded values decide."""
    if not entry.figures.psnr_rgb:
        random = entry.weights == "random"
        return (_untested("", "random weights have no meaningful PSNR" if random else "there is no PSNR"),)
    return tuple(_tested(entry, data, challenge.gate(data)) for data in entry.figures.psnr_rgb)


def _untested(data: str, reason: str) -> GateResult:
    return GateResult(data, "untested", reason=reason)


def _tested(entry: Entry, data: str, gate: PsnrGate | None) -> GateResult:
    psnr = entry.figures.psnr_rgb[data]
    if gate is None:
        return _untested(data, f"the rules name no gate for {data}")
    if gate.at_least is not None:
        return _result(data, psnr - gate.at_least, round(psnr, PRINTED_DECIMALS) - gate.at_least)
    beside = entry.baseline.psnr_rgb.get(data)
    if beside is None:
        return _untested(data, "the baseline has no meaningful PSNR")
    if entry.weights != entry.baseline_weights and "bundled" in (entry.weights, entry.baseline_weights):
        return _untested(data, "only one of the two ran with this project's weights")
    below = gate.below_baseline or 0.0
    rounded = round(psnr, PRINTED_DECIMALS) - round(beside, PRINTED_DECIMALS)
    return _result(data, psnr - beside + below, rounded + below)


def _result(data: str, margin: float, rounded_margin: float) -> GateResult:
    passes, rounded_passes = margin >= -_EXACT, rounded_margin >= -_EXACT
    return GateResult(data, "pass" if passes else "fail", margin, passes != rounded_passes)
