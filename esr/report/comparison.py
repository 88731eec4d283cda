"""Comparisons of records as text: for the terminal, as Markdown, as JSON."""

import json
from collections.abc import Sequence
from typing import Any

from esr.records.compare import Comparison
from esr.records.files import Record
from esr.report.markdown import escape
from esr.report.wording import interval, number

_HEADER = ("network", "data", "B is", "change of the ratio", "ratio in A", "ratio in B", "ms in A", "ms in B")
MANY = 20
"""Comparisons from which a few wrong ones by chance alone are to be expected."""


def cells(comparison: Comparison) -> list[str]:
    """One comparison as the cells of a row, under `header`."""
    change = comparison.change
    return [
        str(comparison.a.candidate["name"]),
        str(comparison.a.document["data"]["name"]),
        comparison.outcome.value,
        interval({"value": change.value, "low": change.low, "high": change.high}, 3) if change else "–",
        interval(comparison.a.ratio, 3),
        interval(comparison.b.ratio, 3),
        _milliseconds(comparison.a),
        _milliseconds(comparison.b),
    ]


def header() -> tuple[str, ...]:
    """The names of the columns."""
    return _HEADER


def _milliseconds(record: Record) -> str:
    timing = record.candidate["timing"]
    return number(timing["ms_per_image"]["value"], 2) if timing else "–"


def lines(comparison: Comparison) -> list[str]:
    """What stands below a comparison: why, verdicts, and every difference."""
    name = comparison.a.candidate["name"]
    said = [f"{name}: {comparison.outcome.value}: {comparison.why}"]
    if comparison.a.document["id"] == comparison.b.document["id"]:
        said.append("A and B are one record: nothing was measured twice")
    for label, record in (("A", comparison.a), ("B", comparison.b)):
        reasons = ", ".join(sorted({entry["reason"] for entry in record.verdict["reasons"]}))
        if reasons:
            said.append(f"{label} is {record.verdict['status']}: {reasons}")
    said += [f"voids the comparison: {_change(entry)}" for entry in comparison.voiding]
    return said + [_change(entry) for entry in comparison.differences]


def _change(entry: Any) -> str:
    return f"{entry.key}: {_plain(entry.a)} → {_plain(entry.b)}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def chance_note(count: int) -> str | None:
    """A warning where so many comparisons were made that some are wrong by chance."""
    if count < MANY:
        return None
    return f"{count} comparisons at 95 %: about {round(count * 0.05)} may be off by chance alone"


def markdown(comparisons: Sequence[Comparison]) -> str:
    """A table, and below it what each comparison rests on."""
    rows = [_HEADER, *(cells(comparison) for comparison in comparisons)]
    table = [f"| {' | '.join(escape(cell) for cell in row)} |" for row in rows]
    table.insert(1, f"|{'|'.join([':--'] * 3 + ['--:'] * (len(_HEADER) - 3))}|")
    notes = [f"- {escape(line)}" for comparison in comparisons for line in lines(comparison)]
    if note := chance_note(len(comparisons)):
        notes.append(f"- {note}")
    return "\n".join(["# B against A", "", *table, "", *notes]) + "\n"


def as_json(comparisons: Sequence[Comparison]) -> str:
    """An array with one object per comparison."""
    return (
        json.dumps([_plain_data(comparison) for comparison in comparisons], indent=1, ensure_ascii=False)
        + "\n"
    )


def _plain_data(comparison: Comparison) -> dict[str, Any]:
    change = comparison.change
    return {
        "network": comparison.a.candidate["name"],
        "data": comparison.a.document["data"]["name"],
        "outcome": comparison.outcome.value,
        "why": comparison.why,
        "change": {"value": change.value, "low": change.low, "high": change.high} if change else None,
        "a": _side(comparison.a),
        "b": _side(comparison.b),
        "voiding": [vars(entry) for entry in comparison.voiding],
        "differences": [vars(entry) for entry in comparison.differences],
    }


def _side(record: Record) -> dict[str, Any]:
    return {
        "path": str(record.path),
        "ratio": record.ratio,
        "ms_per_image": (record.candidate["timing"] or {}).get("ms_per_image"),
        "verdict": record.verdict,
    }
