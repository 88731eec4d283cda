"""The answer of a record in one sentence: which network is faster, by how much, with which certainty."""

from collections.abc import Iterable

from esr.config.terms import ROLES, Role
from esr.records.files import Record
from esr.records.network import Estimate, Failure, Network
from esr.records.reasons import CPU_NOTE, DISQUALIFYING, REASONS, WARNING, WEIGHTS_NOTES
from esr.report.wording import UNWARMED, data_notes, failure_words, network_notes, number, signed, warning

_EQUAL, _TEN, _HUNDRED = 1.1, 10, 100
"""Factors below the first are told apart by the third decimal, above the last by whole numbers."""
_MOST_CAUSES = 3
"""Causes of a status that are named; the others are counted."""
_LONGEST_MESSAGE = 300
"""Characters of a failure's message; the notes have all of it."""


def answer(record: Record) -> str:
    """Candidate against baseline in one sentence, with the difference of PSNR and the verdict's status."""
    candidate, baseline, timing = record.candidate, record.baseline, record.document.timing
    if candidate.failure:
        return f"{candidate.name} {_failed(candidate.failure)}"
    if baseline.failure:
        took = f"takes {number(candidate.timing.runtime_ms.value, 2)} ms per image" if candidate.timing else "is alone"
        return f"{candidate.name} {took}: its baseline {baseline.name} {_failed(baseline.failure)}"
    status, ratio = record.verdict.status, record.ratio
    if ratio is None:
        return f"{candidate.name} against {baseline.name}: no ratio was measured: {status}"
    if timing.aa:
        noise = f"ratio {_decimals(ratio.value)}{_certainty(ratio, timing.confidence)}"
        return f"{candidate.name} against itself (A/A): {noise}, the noise of this machine: {status}"
    rounds = len(timing.ratio_per_round)
    without = "one unwarmed pass" if timing.protocol == "single" else f"{rounds} round{'s' * (rounds != 1)}"
    said = faster_or_slower(candidate.name, baseline.name, ratio, timing.confidence, f" ({without}: no interval)")
    return f"{said}, {_psnr(candidate, baseline)}: {status}"


def faster_or_slower(one: str, other: str, ratio: Estimate, confidence: float, without: str = "") -> str:
    """A ratio of runtimes in words.

    Args:
        one: Name of the network whose runtime is divided.
        other: Name of the one by whose it is divided.
        ratio: Of their runtimes.
        confidence: Of the interval.
        without: Follows where there is no interval.

    >>> faster_or_slower("a", "b", Estimate(0.5, 0.4, 0.625), 0.95)
    'a is 2.00× faster than b (95 % CI 1.60 to 2.50)'
    >>> faster_or_slower("a", "b", Estimate(1.25, 1.2, 1.3), 0.95)
    'a is 1.25× slower than b (95 % CI 1.20 to 1.30)'
    >>> faster_or_slower("a", "b", Estimate(1.01, 0.98, 1.04), 0.95)
    'inconclusive: a takes 0.980 to 1.040 times as long as b (95 % CI)'
    """
    if ratio.low is not None and ratio.high is not None and ratio.low <= 1 <= ratio.high:
        low, high = _decimals(ratio.low), _decimals(ratio.high)
        return f"inconclusive: {one} takes {low} to {high} times as long as {other} ({confidence * 100:g} % CI)"
    ratio, word = (inverse(ratio), "faster") if ratio.value < 1 else (ratio, "slower")
    return f"{one} is {_decimals(ratio.value)}× {word} than {other}{_certainty(ratio, confidence, without)}"


def inverse(ratio: Estimate) -> Estimate:
    """The ratio the other way round."""
    low, high = (1 / end if end is not None else None for end in (ratio.high, ratio.low))
    return Estimate(1 / ratio.value, low, high)


def verdict_line(record: Record) -> str:
    """Status and what it rests on: the first causes, each once, and the number of the others.

    Empty for a clean record and for a failed one.
    """
    found = [one for one in record.verdict.reasons if one.severity != WARNING]
    found.sort(key=lambda one: one.reason not in DISQUALIFYING)
    causes = _once((REASONS[one.reason], one.role) for one in found)
    if not causes or record.failed:
        return ""
    networks = record.document.networks
    said = [cause if role is None else f"{cause} ({networks.of(role).name})" for cause, role in causes.items()]
    if (more := len(said) - _MOST_CAUSES) > 0:
        said[_MOST_CAUSES:] = [f"{more} more reason{'s' * (more != 1)}"]
    return f"{record.verdict.status}: {'; '.join(said)}"


def notes(record: Record) -> list[str]:
    """Notes for a first look, the most important first, the same cause once."""
    networks = record.document.networks
    warnings = ((warning(one), one.role) for one in record.verdict.reasons if one.severity == WARNING)
    own = ((line, role) for role in ROLES for line in network_notes(networks.of(role)))
    named = _once([*warnings, *own])
    said = [text if role is None else f"{networks.of(role).name}: {text}" for text, role in named.items()]
    timing = record.document.timing
    worker = networks.worker
    return [
        *data_notes(record.document.data),
        *said,
        *_weights_notes(record),
        *([UNWARMED] if timing.protocol == "single" else []),
        *([CPU_NOTE] if worker and worker.device.kind == "cpu" else []),
    ]


def _failed(failure: Failure) -> str:
    words = failure_words(failure)
    return f"failed {words if len(words) <= _LONGEST_MESSAGE else f'{words[:_LONGEST_MESSAGE]}…'}"


def _once(found: Iterable[tuple[str, Role | None]]) -> dict[str, Role | None]:
    """Each text once, with the one network that it concerns, `None` where it is both."""
    once: dict[str, Role | None] = {}
    for text, role in found:
        once[text] = role if once.get(text, role) == role else None
    return once


def _weights_notes(record: Record) -> list[str]:
    """One short note per source of weights."""
    said = []
    for source in dict.fromkeys(network.weights.source for network in (record.candidate, record.baseline)):
        if source in WEIGHTS_NOTES:
            networks = [one for one in (record.candidate, record.baseline) if one.weights.source == source]
            names = " and ".join(dict.fromkeys(one.name for one in networks))
            offline = "; the published ones could not be fetched" if any(one.weights.note for one in networks) else ""
            said.append(f"{names}: {WEIGHTS_NOTES[source]}{offline}")
    return said


def _certainty(ratio: Estimate, confidence: float, without: str = "") -> str:
    if ratio.low is None or ratio.high is None:
        return without
    return f" ({confidence * 100:g} % CI {_decimals(ratio.low)} to {_decimals(ratio.high)})"


def _decimals(factor: float) -> str:
    if factor < _EQUAL:
        return f"{factor:.3f}"
    return f"{factor:.{2 if factor < _TEN else 1 if factor < _HUNDRED else 0}f}"


def _psnr(candidate: Network, baseline: Network) -> str:
    """The difference of PSNR, or the reason why there is none."""
    own, other = candidate.quality, baseline.quality
    if own is None or other is None:
        return "PSNR not measured (no HR images)"
    for network, part in ((candidate, own), (baseline, other)):
        if not part.meaningful:
            return f"no PSNR ({network.weights.source} weights of {network.name})"
    if own.mean.psnr_rgb is None:
        return "its output is identical to HR"
    if other.mean.psnr_rgb is None:
        return f"PSNR {own.mean.psnr_rgb:.2f} dB, the baseline's output is identical to HR"
    return f"PSNR {signed(own.mean.psnr_rgb - other.mean.psnr_rgb)} dB"
