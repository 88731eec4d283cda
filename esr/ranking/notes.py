"""Footnotes of a ranking."""

from collections.abc import Sequence

from esr.ranking.challenge import Challenge, Track
from esr.ranking.structures import Entry, GateResult, Ranges, Row
from esr.records.document import Reason
from esr.records.reasons import REASONS, WEIGHTS_NOTES, formula_note


def excluded(entry: Entry, gates: Sequence[GateResult]) -> str | None:
    """Reason why a network is not ranked; `None` where it is."""
    if entry.reference:
        return "a baseline of the challenge"
    if entry.failure:
        return f"failed: {entry.failure}"
    if entry.barred:
        return entry.barred
    if entry.figures.ratio is None:
        return "no runtime"
    missed = [gate for gate in gates if gate.verdict == "fail" and gate.binding]
    return "; ".join(f"PSNR on {gate.data} misses the gate by {-(gate.margin or 0):.3f} dB" for gate in missed) or None


def entry_notes(entry: Entry, gates: Sequence[GateResult], why: str | None) -> tuple[str, ...]:
    """Footnotes of one network; `why` is the reason for which it is not ranked."""
    notes = [f"not ranked: {why}"] if why and not entry.reference else []
    if entry.precision != "fp32":
        notes.append(f"{entry.precision}, ranked apart" if why is None else entry.precision)
    notes += _verdict_notes(entry.reasons) if entry.reasons else []
    if entry.weights in WEIGHTS_NOTES:
        notes.append(WEIGHTS_NOTES[entry.weights])
    notes += [note for gate in gates if (note := _gate_note(entry, gate))]
    if entry.without_formula:
        notes.append(formula_note(entry.without_formula))
    return tuple(notes)


def _verdict_notes(reasons: Sequence[Reason]) -> list[str]:
    """One sentence for taints, one for warnings; reasons that concern the baseline alone are labelled."""
    notes = []
    for severity, words in (("taint", "tainted"), ("imprecision", "imprecise"), ("warning", "warning")):
        given = [found for found in reasons if found.severity == severity]
        phrases = []
        for reason in dict.fromkeys(found.reason for found in given):
            roles = {found.role for found in given if found.reason == reason}
            phrases.append(REASONS[reason] + (" (the baseline)" if roles == {"baseline"} else ""))
        if phrases:
            notes.append(f"{words}: {'; '.join(phrases)}")
    return notes


def _gate_note(entry: Entry, gate: GateResult) -> str | None:
    distance = abs(gate.margin or 0)
    if gate.verdict == "fail" and not gate.binding:
        return f"PSNR on {gate.data} is {distance:.3f} dB lower than is on par; the rules give no gate for these images"
    if gate.rounding_decides and gate.binding:
        passes = (gate.margin or 0) >= 0
        now, then = ("passes", "miss") if passes else ("misses", "pass")
        rounded = f"rounded to two decimals it would {then} it"
        if entry.source == "published":
            rounded = f"rounded to two decimals, as the organisers compared, it {'passes' if not passes else 'misses'}"
        return f"PSNR on {gate.data} {now} the gate by {distance:.4f} dB; {rounded}"
    if gate.verdict == "untested" and not (entry.failure or entry.reference or entry.weights == "random"):
        return f"not tested against the PSNR gate: {gate.reason}"
    return None


_RANGES: dict[Ranges, str] = {"together": "all together", "one_by_one": "one by one"}


def table_notes(rows: Sequence[Row], challenge: Challenge, constraints: str, ranges: Ranges) -> tuple[str, ...]:
    """Footnotes of the whole table."""
    notes = []
    if constraints == "enforce":
        asked = [f"{track.title}: {', '.join(track.enforce)}" for track in challenge.tracks if track.enforce]
        rule = f"at least as good as the baseline in ({'; '.join(asked)})" if asked else "none"
        notes.append(f"constraints enforced in addition to the PSNR gate: {rule}")
    notes += [scoring for track in challenge.tracks if (scoring := _scoring(track))]
    measured = [row for row in rows if row.ranked and row.entry.source == "measured"]
    short = sum(row.rank_interval is None for row in measured)
    if short < len(measured):
        notes.append(
            f"rank ranges by runtime hold {_RANGES[ranges]} at 95 %; the runtimes of a bracket's first and last "
            "network cannot be told apart"
        )
    classes = dict.fromkeys(row.entry.precision for row in measured)
    if len(classes) > 1:
        notes.append(f"precision classes are ranked apart: {', '.join(classes)}")
    if short:
        notes.append(f"{short} of {len(measured)} networks have too few rounds for a rank range")
    return tuple(notes)


def _scoring(track: Track) -> str | None:
    """Formula of a track's score; `None` where it is a metric's rank."""
    if track.weights:
        terms = (f"{weight:g}·exp(2·{metric} / baseline's)" for metric, weight in track.weights.items())
        return f"{track.key}, {track.title}: {' + '.join(terms)}, lower is better"
    if len(track.ranks) > 1:
        return f"{track.key}, {track.title}: sum of the ranks by {', '.join(track.ranks)}"
    return None
