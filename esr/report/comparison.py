"""Comparisons of records as text: for the terminal, as Markdown, as JSON."""

import json
from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from esr.records.compare import Comparison, Difference
from esr.records.files import Record
from esr.records.network import Estimate
from esr.report import markdown
from esr.report.wording import DASH, interval, number

_NAMES = ("network", "data", "B is")
_HEADER = (*_NAMES, "change of ratio", "ratio in A", "ratio in B", "ms in A", "ms in B")
_TITLE = "B against A"
MANY = 20
"""Comparisons from which a few wrong ones by chance alone are to be expected."""


def _cells(comparison: Comparison) -> list[str]:
    a, b = comparison.a, comparison.b
    return [
        *(a.candidate.name, a.document.data.name, comparison.outcome.value),
        *(interval(estimate, 3) for estimate in (comparison.change, a.ratio, b.ratio)),
        *(number(ms.value, 2) if (ms := _runtime_ms(record)) else DASH for record in (a, b)),
    ]


def _runtime_ms(record: Record) -> Estimate | None:
    return record.candidate.timing.runtime_ms if record.candidate.timing else None


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
    a, b = (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in (found.a, found.b))
    return f"{found.key}: {a} → {b}"


def print_comparisons(comparisons: Sequence[Comparison], screen: Console) -> None:
    """Prints a table, and below it the reasons for each outcome."""
    table = Table(title=_TITLE, title_justify="left")
    for header in _HEADER:
        table.add_column(header, justify="left" if header in _NAMES else "right")
    for comparison in comparisons:
        table.add_row(*_cells(comparison))
    screen.print(table)
    for line in _lines(comparisons):
        screen.print(f"· {line}")


def to_markdown(comparisons: Sequence[Comparison]) -> str:
    """A table, and below it the reasons for each outcome."""
    rows = [_cells(comparison) for comparison in comparisons]
    table = markdown.lines(_HEADER, rows, names=len(_NAMES))
    return f"# {_TITLE}\n\n{table}\n\n{markdown.bullets(_lines(comparisons))}\n"


def to_json(comparisons: Sequence[Comparison]) -> str:
    """An array with one object per comparison."""
    raw = msgspec.json.encode([_plain(comparison) for comparison in comparisons])
    return msgspec.json.format(raw, indent=1).decode() + "\n"


def _plain(comparison: Comparison) -> dict[str, object]:
    return {
        "network": comparison.a.candidate.name,
        "data": comparison.a.document.data.name,
        "outcome": comparison.outcome,
        "why": comparison.why,
        "change": comparison.change,
        "a": _side(comparison.a),
        "b": _side(comparison.b),
        "voiding": comparison.voiding,
        "differences": comparison.differences,
    }


def _side(record: Record) -> dict[str, object]:
    ms = _runtime_ms(record)
    return {"path": str(record.path), "ratio": record.ratio, "runtime_ms": ms, "verdict": record.verdict}
