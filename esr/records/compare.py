"""Comparison of two records of one network: the same, faster, slower or inconclusive. Pure functions over records.

The ratio to the baseline is compared, which each record measured beside the network; milliseconds alone would also
tell one machine from another.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import msgspec

from esr.config.terms import ROLES
from esr.errors import RecordError
from esr.records.files import Record
from esr.records.network import Estimate
from esr.records.reasons import TAINT

MARGIN = 0.02
"""Default change of the ratio up to which two measurements are called the same."""
WIDENED = 3.0
"""Factor by which a tainted record's interval is widened. Chosen: a network against itself, measured quickly under
heavy load, gave 0.786 (0.545 to 0.868), off by 2.4 times its reach."""


class ComparisonOutcome(Enum):
    """Result of comparing B with A."""

    SAME = "same"
    FASTER = "faster"
    SLOWER = "slower"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Difference:
    """One value that the two records do not share, as plain JSON types."""

    key: str
    a: object
    b: object


@dataclass(frozen=True)
class Comparison:
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


_HARMLESS_TAINTS = {
    "precision_not_reached": "a wide interval is as honest as a narrow one",
    "precision_changed": "the network does it in every pass; a difference between A and B voids the comparison",
    "switches_changed": "the network does it in every pass; a difference between A and B is listed",
}
"""Taints that do not discredit the ratio's interval, and why; every other one does."""
_COUNTS = ("params", "flops", "macs", "activations", "convolutions", "input_shape")
_NOT_LISTED = (
    *("config.out", "config.lock", "config.force"),
    *("config.model.source", "config.baseline.source", "config.model.published", "config.baseline.published"),
)
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
    differences = tuple(_differences(a, b))
    if failed := _failed(a, b):
        return Comparison(a, b, ComparisonOutcome.INCONCLUSIVE, None, failed, (), differences)
    voiding = tuple(_voiding(a, b))
    if voiding and not force:
        named = "; ".join(f"{entry.key} ({_short(entry.a)} and {_short(entry.b)})" for entry in voiding)
        raise RecordError(
            f"{_where(a)} and {_where(b)} differ in what voids a comparison: {named}; --force compares them anyway"
        )
    change = _change(a.ratio, b.ratio)
    outcome, why = judge(change, margin)
    if change and outcome is not ComparisonOutcome.INCONCLUSIVE and not tainted and (taints := _taints(a, b)):
        if judge(_widened(change), margin)[0] is outcome:
            why = f"{why}, even with an interval {WIDENED:g} times as wide, as {taints}"
        else:
            why = (
                f"{taints}, so the interval is taken {WIDENED:g} times as wide (as measured: {outcome.value}); "
                "measure again, or judge by the interval as measured with --tainted"
            )
            outcome = ComparisonOutcome.INCONCLUSIVE
    return Comparison(a, b, outcome, change, why, voiding, differences)


def _widened(change: Estimate) -> Estimate:
    if change.low is None or change.high is None:
        return change
    low, high = (change.value * (end / change.value) ** WIDENED for end in (change.low, change.high))
    return Estimate(change.value, low, high)


def _failed(a: Record, b: Record) -> str:
    """Networks whose measurement failed; empty where all succeeded."""
    return "; ".join(
        f"{network.name} failed in {label} ({network.failure.kind})"
        for label, record in (("A", a), ("B", b))
        for network in (record.candidate, record.baseline)
        if network.failure
    )


def _taints(a: Record, b: Record) -> str:
    """Taints that discredit the ratios' intervals; empty where there are none."""
    reasons = {
        label: sorted(
            {found.reason for found in record.verdict.reasons if found.severity == TAINT} - _HARMLESS_TAINTS.keys()
        )
        for label, record in (("A", a), ("B", b))
    }
    return " and ".join(f"{label} is tainted by {', '.join(found)}" for label, found in reasons.items() if found)


def judge(change: Estimate | None, margin: float) -> tuple[ComparisonOutcome, str]:
    """The outcome for a change, and its grounds.

    >>> judge(Estimate(1.001, 0.996, 1.006), 0.02)[0].value
    'same'
    >>> judge(Estimate(0.9, 0.88, 0.92), 0.02)[0].value
    'faster'
    >>> judge(Estimate(1.03, 1.01, 1.05), 0.02)[0].value
    'inconclusive'
    """
    if change is None:
        return ComparisonOutcome.INCONCLUSIVE, "one of them has no ratio"
    if change.low is None or change.high is None:
        return ComparisonOutcome.INCONCLUSIVE, "one of them has too few rounds for an interval"
    least, most = 1 / (1 + margin), 1 + margin
    if least <= change.low and change.high <= most:
        return ComparisonOutcome.SAME, f"the change lies within {margin * 100:g} %"
    if change.high < least:
        return ComparisonOutcome.FASTER, f"the change exceeds {margin * 100:g} %"
    if change.low > most:
        return ComparisonOutcome.SLOWER, f"the change exceeds {margin * 100:g} %"
    return ComparisonOutcome.INCONCLUSIVE, (
        f"the change may lie within {margin * 100:g} % or beyond; more rounds (timing.max_seconds) narrow the intervals"
    )


def _change(a: Estimate | None, b: Estimate | None) -> Estimate | None:
    """B over A; the interval from both intervals, on the logarithm (Zou and Donner, Statistics in Medicine 2008)."""
    if a is None or b is None:
        return None
    centre = math.log(b.value / a.value)
    below, above = _reach(b), _reach(a)
    if below is None or above is None:
        return Estimate(math.exp(centre))
    low = centre - math.hypot(below[0], above[1])
    high = centre + math.hypot(below[1], above[0])
    return Estimate(math.exp(centre), math.exp(low), math.exp(high))


def _reach(estimate: Estimate) -> tuple[float, float] | None:
    """Distance of the bounds below and above the estimate, in logarithms."""
    if estimate.low is None or estimate.high is None:
        return None
    return math.log(estimate.value / estimate.low), math.log(estimate.high / estimate.value)


def _voiding(a: Record, b: Record) -> Iterator[Difference]:
    one, other = _must_agree(a), _must_agree(b)
    yield from (Difference(key, one[key], other[key]) for key in one if one[key] != other[key])


def _must_agree(record: Record) -> dict[str, object]:
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


def _differences(a: Record, b: Record) -> Iterator[Difference]:
    one, other = (dict(_leaves(_comparable(record))) for record in (a, b))
    for key in sorted(one.keys() | other.keys()):
        left, right = one.get(key, _MISSING), other.get(key, _MISSING)
        if left != right and not key.startswith(_NOT_LISTED):
            yield Difference(key, left, right)


def _comparable(record: Record) -> Mapping[str, object]:
    """Configuration, environment and changed switches, without what is new in every run."""
    worker = record.candidate.worker
    changed = {
        f"{role} changed {switch}": value
        for role in ROLES
        for switch, value in record.document.networks.of(role).switches_changed.items()
    }
    return {
        "config": record.document.load_config(),
        **msgspec.to_builtins(record.document.environment),
        "worker": msgspec.to_builtins(msgspec.structs.replace(worker, pid=0)) if worker else {},
        **msgspec.to_builtins(changed),
    }


def _leaves(value: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for key, entry in value.items():
            yield from _leaves(entry, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _where(record: Record) -> str:
    return str(record.path or record.document.id)


def _short(value: object) -> str:
    text = str(value)
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
                f"{_where(earlier)} and {_where(record)}: two records of {key[0]} on {key[1]}; name one of them"
            )
    return found
