"""Two records of one network: the same, faster, slower, or not to be told. Pure functions over records.

What is compared is the ratio to the baseline, which both records measured beside the network, and never milliseconds
alone: those also tell one machine from another.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from esr.errors import RecordError
from esr.records.files import Record
from esr.records.reasons import TAINT

MARGIN = 0.02
"""Change of the ratio up to which two measurements are called the same, unless told otherwise."""

Estimate = Mapping[str, float | None]


class Outcome(Enum):
    """What a comparison says of B against A."""

    SAME = "same"
    FASTER = "faster"
    SLOWER = "slower"
    CANNOT_TELL = "can't tell"


@dataclass(frozen=True)
class Change:
    """B's ratio over A's, with its interval; no interval where one of the two has none."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """One value that the two records do not share."""

    key: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Comparison:
    """Two records of one network, and what may be said of them."""

    a: Record
    b: Record
    outcome: Outcome
    change: Change | None
    """None where one of them has no ratio."""
    why: str
    """What the outcome rests on, as half a sentence."""
    voiding: tuple[Difference, ...]
    """Differences that void the comparison; there are some only where it was forced."""
    differences: tuple[Difference, ...]
    """Every other difference of configuration and fingerprint."""


_VOIDING: dict[str, Callable[[Record], Any]] = {
    "candidate's weights": lambda r: r.candidate["weights"]["sha256"],
    "baseline's weights": lambda r: r.baseline["weights"]["sha256"],
    "images": lambda r: [image["lr_sha256"] for image in r.document["data"]["images"]],
    "timing.protocol": lambda r: r.document["timing"]["protocol"],
}
_VOIDING_PER_NETWORK: dict[str, Callable[[Record, str], Any]] = {
    "tile": lambda r, role: r.document["config"]["model" if role == "candidate" else role]["tile"],
    "precision": lambda r, role: sorted(r.document["networks"][role]["precisions"]),
    "counts": lambda r, role: _counts(r.document["networks"][role]["complexity"]),
}
WIDENED = 3.0
"""How many times as wide an interval is taken that a verdict speaks against. Chosen: a network against itself, measured
quickly under heavy load, gave 0.786 (0.545 to 0.868), off by 2.4 times its reach."""
_HOLDS_IN_SPITE_OF = {
    "precision_not_reached": "a wide interval is as honest as a narrow one",
    "precision_changed": "what the network does in every pass; a difference between A and B voids the comparison",
    "switches_changed": "what the network does in every pass; a difference between A and B is listed",
}
"""Taints that say nothing against the ratio's interval, and why; every other one does."""
_COUNTS = ("params", "flops", "macs", "activations", "convolutions", "input_shape")
_NOT_LISTED = (
    "config.out",
    "config.lock",
    "config.force",
    "config.model.source",
    "config.baseline.source",
    "config.model.published",
    "config.baseline.published",
)
_MISSING = "–"
_LONGEST = 24
"""Characters of a value in an error's line."""


def compare(
    a: Record, b: Record, margin: float = MARGIN, *, force: bool = False, tainted: bool = False
) -> Comparison:
    """What B says against A.

    *same*: the whole interval of the change lies within the margin. *faster*, *slower*: all of it lies beyond. *can't
    tell*: anything else, and a failure. Where a verdict speaks against an interval, the outcome has to hold for one
    that is `WIDENED` times as wide.

    Args:
        a: The record to compare with.
        b: The record to judge.
        margin: Change of the ratio, as 0.02 for 2 %, that is still called the same.
        force: Compares in spite of differences that void the comparison.
        tainted: Judges by the interval as it stands even where a verdict speaks against it.

    Raises:
        RecordError: A difference voids the comparison.
    """
    differences = tuple(_differences(a, b))
    if failed := _failed(a, b):
        return Comparison(a, b, Outcome.CANNOT_TELL, None, failed, (), differences)
    voiding = tuple(_voiding(a, b))
    if voiding and not force:
        named = "; ".join(f"{entry.key} ({_short(entry.a)} and {_short(entry.b)})" for entry in voiding)
        raise RecordError(
            f"{_where(a)} and {_where(b)} differ in what voids a comparison: {named}; --force compares all the same"
        )
    change = _change(a.ratio, b.ratio)
    outcome, why = judge(change, margin)
    if change and outcome is not Outcome.CANNOT_TELL and not tainted and (spoilt := _spoilt(a, b)):
        if judge(_widened(change), margin)[0] is outcome:
            why = f"{why}, even taken {WIDENED:g} times as wide, as {spoilt}"
        else:
            why = (
                f"{spoilt}, so the interval is taken {WIDENED:g} times as wide (as it stands: {outcome.value}); "
                "measure again, or judge by it as it stands with --tainted"
            )
            outcome = Outcome.CANNOT_TELL
    return Comparison(a, b, outcome, change, why, voiding, differences)


def _widened(change: Change) -> Change:
    if change.low is None or change.high is None:
        return change
    low, high = (change.value * (end / change.value) ** WIDENED for end in (change.low, change.high))
    return Change(change.value, low, high)


def _failed(a: Record, b: Record) -> str:
    """Which networks could not be measured; empty: all could."""
    return "; ".join(
        f"{failure['network']} failed in {label} ({failure['kind']})"
        for label, record in (("A", a), ("B", b))
        for failure in record.failures
    )


def _spoilt(a: Record, b: Record) -> str:
    """What the verdicts hold against the ratios' intervals; empty: nothing."""
    reasons = {
        label: sorted(
            {entry["reason"] for entry in record.verdict["reasons"] if entry["severity"] == TAINT}
            - _HOLDS_IN_SPITE_OF.keys()
        )
        for label, record in (("A", a), ("B", b))
    }
    return " and ".join(
        f"{label} is tainted by {', '.join(found)}" for label, found in reasons.items() if found
    )


def judge(change: Change | None, margin: float) -> tuple[Outcome, str]:
    """The outcome for a change, and what it rests on.

    >>> judge(Change(1.001, 0.996, 1.006), 0.02)[0].value
    'same'
    >>> judge(Change(0.9, 0.88, 0.92), 0.02)[0].value
    'faster'
    >>> judge(Change(1.03, 1.01, 1.05), 0.02)[0].value
    "can't tell"
    """
    if change is None:
        return Outcome.CANNOT_TELL, "one of them has no ratio"
    if change.low is None or change.high is None:
        return Outcome.CANNOT_TELL, "one of them has too few rounds for an interval"
    least, most = 1 / (1 + margin), 1 + margin
    if least <= change.low and change.high <= most:
        return Outcome.SAME, f"the change lies within {margin * 100:g} %"
    if change.high < least:
        return Outcome.FASTER, f"the change is one of more than {margin * 100:g} %"
    if change.low > most:
        return Outcome.SLOWER, f"the change is one of more than {margin * 100:g} %"
    return Outcome.CANNOT_TELL, (
        f"the change may lie within {margin * 100:g} % or beyond; more rounds (timing.max_seconds) narrow the intervals"
    )


def _change(a: Estimate | None, b: Estimate | None) -> Change | None:
    """B over A; the interval from both intervals, on the logarithm (Zou and Donner, Statistics in Medicine 2008)."""
    if a is None or b is None or a["value"] is None or b["value"] is None:
        return None
    centre = math.log(b["value"] / a["value"])
    below, above = _reach(b), _reach(a)
    if below is None or above is None:
        return Change(math.exp(centre), None, None)
    low = centre - math.hypot(below[0], above[1])
    high = centre + math.hypot(below[1], above[0])
    return Change(math.exp(centre), math.exp(low), math.exp(high))


def _reach(estimate: Estimate) -> tuple[float, float] | None:
    """How far the interval reaches below and above the estimate, in logarithms."""
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return None
    return math.log(value / low), math.log(high / value)


def _counts(complexity: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if complexity is None else {key: complexity.get(key) for key in _COUNTS}


def _voiding(a: Record, b: Record) -> Iterator[Difference]:
    for key, read in _VOIDING.items():
        if read(a) != read(b):
            yield Difference(key, read(a), read(b))
    for role in ("candidate", "baseline"):
        for key, of_role in _VOIDING_PER_NETWORK.items():
            if of_role(a, role) != of_role(b, role):
                yield Difference(f"{role}'s {key}", of_role(a, role), of_role(b, role))


def _differences(a: Record, b: Record) -> Iterator[Difference]:
    one, other = (dict(_leaves(_comparable(record))) for record in (a, b))
    for key in sorted(one.keys() | other.keys()):
        left, right = one.get(key, _MISSING), other.get(key, _MISSING)
        if left != right and not key.startswith(_NOT_LISTED):
            yield Difference(key, left, right)


def _comparable(record: Record) -> dict[str, Any]:
    """Configuration, fingerprint and what the networks turned; what is new in every run is left out."""
    runtime = {key: value for key, value in record.candidate["runtime"].items() if key != "pid"}
    turned = {
        f"{role} turned {switch}": value
        for role, network in record.document["networks"].items()
        for switch, value in network["switches_changed"].items()
    }
    return {
        "config": record.document["config"],
        **record.document["environment"],
        "runtime": runtime,
        **turned,
    }


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, entry in value.items():
            yield from _leaves(entry, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _where(record: Record) -> str:
    return str(record.path or record.document["id"])


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def pairs(a: Sequence[Record], b: Sequence[Record]) -> tuple[list[tuple[Record, Record]], list[str]]:
    """Records of the same network on the same data, and the names of those without a partner.

    A multirun keeps a success beside a later failure of the same measurement; the success counts.

    Raises:
        RecordError: One side holds two records of one network on one data set: which is meant?
    """
    left, right = _by_network(a), _by_network(b)
    both = [(left[key], right[key]) for key in left if key in right]
    alone = [f"{name} on {data}" for name, data in left.keys() ^ right.keys()]
    return both, sorted(alone)


def _by_network(records: Sequence[Record]) -> dict[tuple[str, str], Record]:
    found: dict[tuple[str, str], Record] = {}
    for record in records:
        key = (str(record.candidate["name"]), str(record.document["data"]["name"]))
        if key in found and bool(found[key].failures) is not bool(record.failures):
            found[key] = found[key] if record.failures else record
            continue
        if key in found:
            raise RecordError(
                f"{_where(found[key])} and {_where(record)}: two records of {key[0]} on {key[1]}; name one of them"
            )
        found[key] = record
    return found
