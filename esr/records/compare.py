"""Comparison of two records of one network: the same, faster, slower or inconclusive. Pure functions over records.

The ratio to the baseline is compared, which each record measured beside the network; milliseconds alone would also
tell one machine from another.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal, TypeVar

import msgspec

from esr.config.digest import leaves
from esr.config.terms import ROLES
from esr.errors import RecordError
from esr.records.files import Record
from esr.records.network import Estimate
from esr.records.reasons import REASONS, TAINT
from esr.text import one_line, quoted, shown_path

ComparisonOutcome = Literal["same", "faster", "slower", "inconclusive"]
ContestOutcome = Literal["faster", "slower", "inconclusive"]
Outcome = TypeVar("Outcome", ComparisonOutcome, ContestOutcome)
"""B in comparison with A."""
MARGIN = 0.02
"""Default change of the ratio up to which two measurements are called the same."""
WIDENED = 3.0
"""Factor by which a tainted record's interval is widened. Chosen: a network against itself, measured quickly under
heavy load, gave 0.786 (0.545 to 0.868), off by 2.4 times its reach."""


class Difference(msgspec.Struct, frozen=True):
    """One value that the two records do not share, as plain JSON types."""

    key: str
    a: object
    b: object


class Comparison(msgspec.Struct, frozen=True):
    """Two records of one network, and the conclusion."""

    a: Record
    b: Record
    outcome: ComparisonOutcome
    change: Estimate | None
    """B's ratio over A's; `None` where one of them has no ratio."""
    why: str
    """Grounds for the outcome, as half a sentence."""
    voiding: tuple[Difference, ...]
    """Differences that void the comparison; empty unless it was forced."""
    differences: tuple[Difference, ...]
    """Every other difference of configuration and environment."""


_HARMLESS_TAINTS = {"precision_not_reached", "precision_changed", "switches_changed"}
"""Taints that do not discredit the ratio's interval: a wide one is as honest as a narrow one; what a network changes,
it changes in every pass, and a difference between A and B is listed or voids the comparison."""
_COUNTS = ("params", "flops", "macs", "activations", "convolutions", "input_shape")
_NOT_LISTED = (
    *("worker.pid", "config.out", "config.lock", "config.force"),
    *("config.model.source", "config.baseline.source", "config.model.published", "config.baseline.published"),
)
"""Starts of keys that differ in every run or describe the network."""
_MISSING = "–"
_LONGEST = 24
"""Characters of a value in an error message."""


def compare(a: Record, b: Record, margin: float = MARGIN, *, force: bool = False, tainted: bool = False) -> Comparison:
    """Judges B against A.

    *same*: the whole interval of the change lies within the margin. *faster*, *slower*: all of it lies beyond.
    *inconclusive*: anything else, and a failure. Where a verdict discredits an interval, the outcome must also hold for
    one `WIDENED` times as wide.

    Args:
        a: Record to compare with.
        b: Record to judge.
        margin: Fraction of the ratio that still counts as the same.
        force: Compares despite differences that void the comparison.
        tainted: Judges by the intervals as they are, even where a verdict discredits them.

    Raises:
        RecordError: A difference voids the comparison.
    """
    differences = sorted(differing(_listed(a), _listed(b)), key=lambda found: found.key)
    if failed := failures(a, b):
        return Comparison(a, b, "inconclusive", None, failed, (), tuple(differences))
    voiding = require_agreement(a, b, must_agree, force=force)
    change = quotient(a.ratio, b.ratio)
    judged = partial(judge, margin=margin)
    outcome, why = judged(change) if tainted else despite_taints(change, judged, taints_of(a, b))
    return Comparison(a, b, outcome, change, why, tuple(voiding), tuple(differences))


def despite_taints(
    change: Estimate | None, judge: Callable[[Estimate | None], tuple[Outcome, str]], taints: str
) -> tuple[Outcome, str]:
    """The outcome and its grounds, which has to hold for a wider interval, too, where verdicts discredit the interval.

    Args:
        change: Of a ratio.
        judge: From an estimate to the outcome and its grounds.
        taints: The verdicts in words; empty where none discredits it.
    """
    outcome, why = judge(change)
    if not change or outcome == "inconclusive" or not taints:
        return outcome, why
    if judge(widened(change))[0] == outcome:
        return outcome, f"{why}, even with an interval {WIDENED:g} times as wide, as {taints}"
    why = (
        f"{taints}, so the interval is taken {WIDENED:g} times as wide (as measured: {outcome}); "
        "measure again, or judge by the interval as measured with --tainted"
    )
    return "inconclusive", why


def require_agreement(
    a: Record, b: Record, values: Callable[[Record], Mapping[str, object]], *, force: bool
) -> list[Difference]:
    """Differences that void a comparison.

    Raises:
        RecordError: There are some, and it is not forced.
    """
    voiding = differing(values(a), values(b))
    if voiding and not force:
        named = "; ".join(f"{found.key} ({short(found.a)} and {short(found.b)})" for found in voiding)
        raise RecordError(
            f"{where(a)} and {where(b)} differ in what voids a comparison: {named}; --force compares them anyway"
        )
    return voiding


def widened(change: Estimate) -> Estimate:
    """An estimate with an interval `WIDENED` times as wide, on the logarithm."""
    low, high = (end and change.value * (end / change.value) ** WIDENED for end in (change.low, change.high))
    return Estimate(change.value, low, high)


def failures(a: Record, b: Record, labels: Sequence[str] = (" in A", " in B")) -> str:
    """Networks whose measurement failed, and where; empty where all succeeded."""
    return "; ".join(
        f"{network.name} failed{label} ({network.failure.kind})"
        for label, record in zip(labels, (a, b), strict=True)
        for network in (record.candidate, record.baseline)
        if network.failure
    )


def taints_of(a: Record, b: Record, labels: Sequence[str] = "AB") -> str:
    """Taints that discredit the ratios' intervals, by record; empty where there are none."""
    found = []
    for label, record in zip(labels, (a, b), strict=True):
        reasons = {given.reason for given in record.verdict.reasons if given.severity == TAINT} - _HARMLESS_TAINTS
        if reasons:
            found.append(f"{label} is tainted ({', '.join(REASONS[reason] for reason in sorted(reasons))})")
    return " and ".join(found)


def judge(change: Estimate | None, margin: float) -> tuple[ComparisonOutcome, str]:
    """The outcome for a change, and its grounds.

    >>> judge(Estimate(1.001, 0.996, 1.006), 0.02)[0]
    'same'
    >>> judge(Estimate(0.9, 0.88, 0.92), 0.02)[0]
    'faster'
    >>> judge(Estimate(1.03, 1.01, 1.05), 0.02)[0]
    'inconclusive'
    """
    if change is None:
        return "inconclusive", "one of them has no ratio"
    if change.low is None or change.high is None:
        return "inconclusive", "one of them has too few rounds for an interval"
    least, most, percent = 1 / (1 + margin), 1 + margin, f"{margin * 100:g} %"
    if least <= change.low and change.high <= most:
        return "same", f"the change lies within {percent}"
    if change.high < least or change.low > most:
        return "faster" if change.high < least else "slower", f"the change exceeds {percent}"
    why = f"the change may lie within {percent} or beyond; more rounds (timing.max_seconds) narrow the intervals"
    return "inconclusive", why


def quotient(a: Estimate | None, b: Estimate | None) -> Estimate | None:
    """B over A; the interval from both intervals, on the logarithm (Zou and Donner, Statistics in Medicine 2008)."""
    if a is None or b is None:
        return None
    value = b.value / a.value
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Estimate(value)
    below = math.hypot(math.log(b.value / b.low), math.log(a.high / a.value))
    above = math.hypot(math.log(b.high / b.value), math.log(a.value / a.low))
    return Estimate(value, value * math.exp(-below), value * math.exp(above))


def differing(one: Mapping[str, object], other: Mapping[str, object]) -> list[Difference]:
    """Keys whose values differ."""
    return [
        Difference(key, a, b)
        for key in dict.fromkeys([*one, *other])
        if (a := one.get(key, _MISSING)) != (b := other.get(key, _MISSING))
    ]


def must_agree(record: Record) -> dict[str, object]:
    """Values that must agree for ratios to be comparable."""
    config = record.document.load_config()
    found: dict[str, object] = {}
    for role, conf in zip(ROLES, (config.get("model"), config.get("baseline")), strict=True):
        network = record.document.networks.of(role)
        found[f"{role}'s weights"] = network.weights.sha256
        found[f"{role}'s tile"] = conf.get("tile") if isinstance(conf, dict) else None
        found[f"{role}'s precision"] = sorted(network.precisions)
        found[f"{role}'s counts"] = network.complexity and {name: getattr(network.complexity, name) for name in _COUNTS}
    found["images"] = [image.lr_sha256 for image in record.document.data.load_images()]
    found["timing.protocol"] = record.document.timing.protocol
    return found


def _listed(record: Record) -> dict[str, object]:
    """Configuration, environment and changed switches by dotted key, without what is new in every run."""
    document = record.document
    parts = {"config": document.load_config(), **msgspec.structs.asdict(document.environment)}
    parts["worker"] = record.candidate.worker or {}
    for role in ROLES:
        changed = document.networks.of(role).switches_changed
        parts |= {f"{role} changed {name}": value for name, value in changed.items()}
    found = leaves(msgspec.to_builtins(parts))
    return {key: value for key, value in found if not key.startswith(_NOT_LISTED)}


def where(record: Record) -> str:
    """A record's file, else its id."""
    return shown_path(record.path) if record.path else quoted(record.document.id)


def short(value: object) -> str:
    """A value for the middle of an error's line."""
    text = one_line(str(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def pairs(a: Sequence[Record], b: Sequence[Record]) -> tuple[list[tuple[Record, Record]], list[str]]:
    """Records of the same network on the same data, and the names of those without a counterpart.

    A multirun keeps a success beside a later failure of the same measurement; the success counts.

    Raises:
        RecordError: One side holds two records of one network on one data set.
    """
    left, right = _by_network(a), _by_network(b)
    both = [(left[key], right[key]) for key in left if key in right]
    alone = [f"{name} on {data}" for name, data in left.keys() ^ right.keys()]
    return both, sorted(alone)


def _by_network(records: Sequence[Record]) -> dict[tuple[str, str], Record]:
    found: dict[tuple[str, str], Record] = {}
    for record in records:
        key = (record.candidate.name, record.document.data.name)
        earlier = found.get(key)
        if earlier is None or (earlier.failed and not record.failed):
            found[key] = record
        elif bool(earlier.failed) is bool(record.failed):
            raise RecordError(
                f"{where(earlier)} and {where(record)}: two records of {key[0]} on {key[1]}; name one of them"
            )
    return found
