"""Two different networks, each measured beside the same baseline: which of them is faster. Pure functions over records.

The ratio of their runtimes follows from their ratios to the baseline; both uncertainties count.
"""

import msgspec

from esr.records import compare
from esr.records.files import Record
from esr.records.network import Estimate

_OWN = "candidate's "


class Contest(msgspec.Struct, frozen=True):
    """Records of two networks, and which of them is faster."""

    a: Record
    b: Record
    outcome: compare.ContestOutcome
    """A in comparison with B."""
    ratio: Estimate | None
    """A's runtime over B's; `None` where one of them has no ratio to the baseline."""
    why: str
    """Grounds for the outcome, as half a sentence."""
    voiding: tuple[compare.Difference, ...]
    """Differences that void the contest; empty unless it was forced."""


def are_different(a: Record, b: Record) -> bool:
    """True for records of different networks.

    Name, team and arguments that agree make one network, and so do weights and counts that agree.
    """
    one, other = compare.must_agree(a), compare.must_agree(b)
    return _called(a) != _called(b) and any(one[key] != other[key] for key in (f"{_OWN}weights", f"{_OWN}counts"))


def contest(a: Record, b: Record, *, force: bool = False, tainted: bool = False) -> Contest:
    """Judges A against B.

    *faster*, *slower*: the whole interval of the ratio lies on one side of 1. *inconclusive*: anything else, and a
    failure. Where a verdict discredits an interval, the outcome must also hold for one `WIDENED` times as wide.

    Args:
        a: Record of one network.
        b: Record of another.
        force: Compares despite differences that void it.
        tainted: Judges by the intervals as they are, even where a verdict discredits them.

    Raises:
        RecordError: Baseline, images, protocol or machine differ.
    """
    if failed := compare.failures(a, b, ("", "")):
        return Contest(a, b, "inconclusive", None, failed, ())
    voiding = tuple(compare.require_agreement(a, b, _shared, force=force))
    ratio = compare.quotient(b.ratio, a.ratio)
    taints = "" if tainted else compare.taints_of(a, b, (a.candidate.name, b.candidate.name))
    outcome, why = compare.despite_taints(ratio, judge, taints)
    return Contest(a, b, outcome, ratio, why, voiding)


def judge(ratio: Estimate | None) -> tuple[compare.ContestOutcome, str]:
    """The outcome for a ratio of runtimes, and its grounds.

    >>> judge(Estimate(0.9, 0.88, 0.92))[0], judge(Estimate(1.1, 0.99, 1.2))[0]
    ('faster', 'inconclusive')
    """
    if ratio is None:
        return "inconclusive", "one of them has no ratio to the baseline"
    if ratio.low is None or ratio.high is None:
        return "inconclusive", "one of them has too few rounds for an interval"
    if ratio.low <= 1 <= ratio.high:
        return "inconclusive", "the interval includes 1; more rounds (timing.max_seconds) narrow it"
    return ("faster" if ratio.high < 1 else "slower"), "the interval excludes 1"


def _called(record: Record) -> object:
    model = record.document.load_config().get("model")
    return record.candidate.name, record.candidate.card.team, model.get("args") if isinstance(model, dict) else None


def _shared(record: Record) -> dict[str, object]:
    """Values that must agree for ratios to one baseline to be divided."""
    found = {key: value for key, value in compare.must_agree(record).items() if not key.startswith(_OWN)}
    if worker := record.document.networks.worker:
        found["device"] = worker.device.name or record.document.environment.cpu.model
        found["threads"] = worker.threads
        found["torch"] = worker.torch
    return found
