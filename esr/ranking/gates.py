"""PSNR gates: networks on par with the baseline, and cases where rounding decides.

Unrounded values decide for measured networks. In a published table the organisers' rounded values do, so that it is
theirs.
"""

from esr.ranking.challenge import Challenge, PsnrGate
from esr.ranking.structures import Entry, GateResult

PRINTED_DECIMALS = 2
"""Decimals of the PSNR in the challenges' tables."""
_EXACT = 1e-9
"""dB; absorbs the rounding error of 29.13 − 0.20 in binary fractions."""


def gate_results(entry: Entry, challenge: Challenge) -> tuple[GateResult, ...]:
    """Tests a network against the gate of every data set its PSNR is known on."""
    if not entry.figures.psnr_rgb:
        random = entry.weights == "random"
        return (_untested("", "random weights have no meaningful PSNR" if random else "there is no PSNR"),)
    return tuple(_tested(entry, data, challenge) for data in entry.figures.psnr_rgb)


def _untested(data: str, reason: str) -> GateResult:
    return GateResult(data, "untested", reason=reason)


def _no_gate(data: str, challenge: Challenge) -> str:
    """Reason why there is no gate; a folder's images may well be those of a set that has one."""
    named = " or ".join(f"data.name={gate.data}" for gate in challenge.psnr)
    remedy = f"; if these images are its set, measure with {named}" if named else ""
    return f"the rules of {challenge.name} name no gate for {data}{remedy}"


def _tested(entry: Entry, data: str, challenge: Challenge) -> GateResult:
    psnr, gate = entry.figures.psnr_rgb[data], challenge.gate(data)
    if gate is None:
        return _untested(data, _no_gate(data, challenge))
    if gate.at_least is not None:
        return _result(entry, gate, data, psnr - gate.at_least, round(psnr, PRINTED_DECIMALS) - gate.at_least)
    beside = entry.baseline.psnr_rgb.get(data)
    if beside is None:
        return _untested(data, "the baseline has no meaningful PSNR")
    if entry.weights != entry.baseline_weights and "bundled" in (entry.weights, entry.baseline_weights):
        return _untested(data, "only one of the two ran with this project's weights")
    below = gate.below_baseline or 0.0
    rounded = round(psnr, PRINTED_DECIMALS) - round(beside, PRINTED_DECIMALS)
    return _result(entry, gate, data, psnr - beside + below, rounded + below)


def _result(entry: Entry, gate: PsnrGate, data: str, margin: float, rounded_margin: float) -> GateResult:
    passes, rounded_passes = margin >= -_EXACT, rounded_margin >= -_EXACT
    decisive = rounded_passes if entry.source == "published" else passes
    differ = passes != rounded_passes
    return GateResult(data, "pass" if decisive else "fail", margin, differ, binding=gate.binding)
