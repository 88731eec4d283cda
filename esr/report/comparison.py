"""Comparisons of records as text: for the terminal, as Markdown, as JSON."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import get_args

from rich.console import Console

from esr.records.compare import Comparison, ComparisonOutcome, Difference
from esr.records.files import Record
from esr.records.reasons import REASONS
from esr.report import markdown
from esr.report.answer import faster_or_slower
from esr.report.fitting import brief, named, print_fitting
from esr.report.table import Cell, Column, Grid
from esr.report.wording import interval, number
from esr.text import indented, one_line

_TITLE = "B against A"
_LONGEST = 200
"""Characters of a value that differs."""
MANY = 20
"""Comparisons from which a few wrong ones by chance alone are to be expected."""
_COLUMNS: tuple[Column[Comparison], ...] = (
    Column("network", "network", lambda pair: Cell(pair.a.candidate.name), left=True),
    Column("data", "data", lambda pair: Cell(pair.a.document.data.name), left=True),
    Column("outcome", "B is", lambda pair: Cell(pair.outcome), left=True),
    Column("change", "change of ratio", lambda pair: Cell(interval(pair.change, 3))),
    Column("a_ratio", "ratio in A", lambda pair: Cell(interval(pair.a.ratio, 3))),
    Column("b_ratio", "ratio in B", lambda pair: Cell(interval(pair.b.ratio, 3))),
    Column("a_ms", "ms in A", lambda pair: Cell(_ms(pair.a))),
    Column("b_ms", "ms in B", lambda pair: Cell(_ms(pair.b))),
)


def _ms(record: Record) -> str:
    timing = record.candidate.timing
    return number(timing.runtime_ms.value if timing else None, 2)


def _lines(comparisons: Sequence[Comparison]) -> list[str]:
    """Below the table: each comparison's reason, verdicts and differences."""
    said = [line for comparison in comparisons for line in _explained(comparison)]
    if len(comparisons) >= MANY:
        count = len(comparisons)
        said.append(f"{count} comparisons at 95 %: about {round(count * 0.05)} may be wrong by chance alone")
    return said


def _explained(comparison: Comparison) -> list[str]:
    said = [f"{comparison.a.candidate.name}: {comparison.outcome}: {comparison.why}"]
    if comparison.a.document.id == comparison.b.document.id:
        said.append("A and B are the same record: nothing was measured twice")
    for label, record in (("A", comparison.a), ("B", comparison.b)):
        if reasons := sorted({REASONS[found.reason] for found in record.verdict.reasons}):
            said.append(f"{label} is {record.verdict.status}: {'; '.join(reasons)}")
    said += [f"voids the comparison: {_difference(found)}" for found in comparison.voiding]
    return said + [_difference(found) for found in comparison.differences]


def _difference(found: Difference) -> str:
    return one_line(f"{found.key[:_LONGEST]}: {_shown(found.a)} → {_shown(found.b)}")


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def print_comparisons(comparisons: Sequence[Comparison], screen: Console) -> None:
    """Prints a table, and below it the reasons for each outcome."""
    records = [record for pair in comparisons for record in (pair.a, pair.b)]
    screen.print(brief(_answer(comparisons[0]), *records) if len(comparisons) == 1 else _summary(comparisons))
    screen.print(_TITLE)
    print_fitting(Grid(_COLUMNS, comparisons), screen, ("data", "a_ms", "b_ms", "a_ratio", "b_ratio"), named, gap=2)
    screen.print(*(f"· {brief(line, *records)}" for line in _lines(comparisons)), sep="\n")


def _answer(comparison: Comparison) -> str:
    """The outcome in one sentence."""
    name, change = comparison.b.candidate.name, comparison.change
    if change is None:
        return f"inconclusive: {comparison.why}"
    confidence = comparison.b.document.timing.confidence
    if comparison.outcome == "same":
        return f"{name} in B is as fast as in A: {interval(change, 3)} times its ratio, {confidence * 100:g} % CI"
    mark = "inconclusive: " * (comparison.outcome == "inconclusive")
    return mark + faster_or_slower(f"{name} in B", "in A", change, confidence).removeprefix(mark)


def _summary(comparisons: Sequence[Comparison]) -> str:
    """The number of networks with each outcome."""
    found = Counter(one.outcome for one in comparisons)
    counts = [f"{found[outcome]} {outcome}" for outcome in get_args(ComparisonOutcome) if found[outcome]]
    return f"{len(comparisons)} networks in B against A: {', '.join(counts)}"


def to_markdown(comparisons: Sequence[Comparison]) -> str:
    """A table, and below it the reasons for each outcome."""
    table = markdown.drawn(Grid(_COLUMNS, comparisons))
    return f"# {_TITLE}\n\n{table}\n\n{markdown.bullets(_lines(comparisons))}\n"


def to_json(comparisons: Sequence[Comparison]) -> str:
    """An array with one object per comparison."""
    return f"{indented([*map(_plain, comparisons)])}\n"


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
    timing = record.candidate.timing
    runtime_ms = timing.runtime_ms if timing else None
    return {"path": str(record.path), "ratio": record.ratio, "runtime_ms": runtime_ms, "verdict": record.verdict}
