"""Comparisons of records as text: for the terminal, as Markdown, as JSON."""

import json
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from esr.records.compare import Comparison, Difference
from esr.records.document import Verdict
from esr.records.files import Record
from esr.records.network import Estimate
from esr.report import markdown
from esr.report.wording import DASH, interval, number

_NAMES = ("network", "data", "B is")
_HEADER = (*_NAMES, "change of ratio", "ratio in A", "ratio in B", "ms in A", "ms in B")
_TITLE = "B against A"
MANY = 20
"""Comparisons from which a few wrong ones by chance alone are to be expected."""


class Side(msgspec.Struct, frozen=True):
    """One of two records that are compared."""

    path: str
    ratio: Estimate | None
    runtime_ms: Estimate | None
    verdict: Verdict


class Report(msgspec.Struct, frozen=True):
    """A comparison as JSON holds it."""

    network: str
    data: str
    outcome: str
    why: str
    change: Estimate | None
    a: Side
    b: Side
    voiding: list[Difference]
    differences: list[Difference]


def _reported(comparison: Comparison) -> Report:
    return Report(
        network=comparison.a.candidate.name,
        data=comparison.a.document.data.name,
        outcome=comparison.outcome.value,
        why=comparison.why,
        change=_change(comparison),
        a=_side(comparison.a),
        b=_side(comparison.b),
        voiding=list(comparison.voiding),
        differences=list(comparison.differences),
    )


def _side(record: Record) -> Side:
    timing = record.candidate.timing
    return Side(str(record.path), record.ratio, timing.runtime_ms if timing else None, record.verdict)


def _change(comparison: Comparison) -> Estimate | None:
    change = comparison.change
    return Estimate(change.value, change.low, change.high) if change else None


def _cells(report: Report) -> list[str]:
    return [
        *(report.network, report.data, report.outcome),
        *(interval(estimate, 3) for estimate in (report.change, report.a.ratio, report.b.ratio)),
        *(number(ms.value, 2) if ms else DASH for ms in (report.a.runtime_ms, report.b.runtime_ms)),
    ]


def _lines(comparisons: Sequence[Comparison]) -> list[str]:
    """Below the table: each comparison's reason, verdicts and differences."""
    said = [line for comparison in comparisons for line in _explained(comparison)]
    if len(comparisons) >= MANY:
        wrong = round(len(comparisons) * 0.05)
        said.append(f"{len(comparisons)} comparisons at 95 %: about {wrong} may be wrong by chance alone")
    return said


def _explained(comparison: Comparison) -> list[str]:
    said = [f"{comparison.a.candidate.name}: {comparison.outcome.value}: {comparison.why}"]
    if comparison.a.document.id == comparison.b.document.id:
        said.append("A and B are the same record: nothing was measured twice")
    for label, record in (("A", comparison.a), ("B", comparison.b)):
        reasons = sorted({found.reason for found in record.verdict.reasons})
        if reasons:
            said.append(f"{label} is {record.verdict.status}: {', '.join(reasons)}")
    said += [f"voids the comparison: {_difference(found)}" for found in comparison.voiding]
    return said + [_difference(found) for found in comparison.differences]


def _difference(found: Difference) -> str:
    a, b = (
        value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for value in (found.a, found.b)
    )
    return f"{found.key}: {a} → {b}"


def print_comparisons(comparisons: Sequence[Comparison], screen: Console) -> None:
    """Prints a table, and below it the reasons for each outcome."""
    table = Table(title=_TITLE, title_justify="left")
    for header in _HEADER:
        table.add_column(header, justify="left" if header in _NAMES else "right")
    for comparison in comparisons:
        table.add_row(*_cells(_reported(comparison)))
    screen.print(table)
    for line in _lines(comparisons):
        screen.print(f"· {line}")


def to_markdown(comparisons: Sequence[Comparison]) -> str:
    """A table, and below it the reasons for each outcome."""
    rows = [_cells(_reported(comparison)) for comparison in comparisons]
    table = markdown.lines(_HEADER, rows, left=len(_NAMES))
    return f"# {_TITLE}\n\n{table}\n\n{markdown.bullets(_lines(comparisons))}\n"


def to_json(comparisons: Sequence[Comparison]) -> str:
    """An array with one object per comparison."""
    raw = msgspec.json.encode([_reported(comparison) for comparison in comparisons])
    return msgspec.json.format(raw, indent=1).decode() + "\n"
