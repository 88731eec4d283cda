"""A ranking as Markdown: tables with subscript ranks, and numbered notes."""

import re
from collections.abc import Sequence

from esr.ranking import Ranking, Row
from esr.report import table
from esr.report.table import Column

_SPECIAL = re.compile(r"([\\`*_\[\]#|~])")


def render(ranking: Ranking) -> str:
    """The whole ranking, ready for a README or an issue."""
    notes = table.footnotes(ranking)
    parts = [f"# {escape(table.title(ranking))}"]
    parts.append(_table(table.columns(ranking), ranking.rows, notes.marks))
    parts.append("\n".join(f"{count}. {escape(note)}" for count, note in enumerate(notes.numbered, 1)))
    parts.append("\n".join(f"- {escape(note)}" for note in notes.general))
    if printed := table.published_columns(ranking):
        parts.append(f"## {table.PUBLISHED_TITLE}")
        parts.append(_table(printed, table.published_rows(ranking), {}))
    if ranking.correlations:
        parts.append("## What predicts runtime\n\nRank correlation with runtime, with 95 % intervals.")
        parts.append(_lines(("metric", "Spearman", "Kendall"), table.correlation_rows(ranking)))
    if changes := table.change_lines(ranking):
        parts.append("## FLOPs of the challenge against MACs of the dispatcher")
        parts.append("\n".join(f"- {escape(line)}" for line in changes))
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    r"""A stranger's text as Markdown that shows it and does nothing else.

    >>> escape("a|b <script>"), escape("_x_")
    ('a\\|b &lt;script&gt;', '\\_x\\_')
    """
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", plain).replace("://", ":&#47;/")


def _table(columns: Sequence[Column], rows: Sequence[Row], marks: dict[str, tuple[int, ...]]) -> str:
    def cell(column: Column, row: Row) -> str:
        found = column.cell(row)
        text = escape(found.text) if column.left else found.text
        if found.rank is not None:
            text += f"<sub>{found.rank}</sub>"
        if column.key == "network" and row.entry.key in marks:
            text += f"<sup>{','.join(map(str, marks[row.entry.key]))}</sup>"
        return text

    align = "|".join(":--" if column.left else "--:" for column in columns)
    head = " | ".join(escape(column.header) for column in columns)
    body = [" | ".join(cell(column, row) for column in columns) for row in rows]
    return "\n".join([f"| {head} |", f"|{align}|", *(f"| {line} |" for line in body)])


def _lines(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(header)} |", "|:--|--:|--:|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)
