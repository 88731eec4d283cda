"""A ranking as Markdown: tables with subscript ranks, and numbered notes."""

import re
from collections.abc import Sequence

from esr.ranking import Ranking
from esr.report import table
from esr.report.table import Cell, Column, Grid

_SPECIAL = re.compile(r"([\\`*_\[\]#|~])")


def render(ranking: Ranking) -> str:
    """The whole ranking, ready for a README or an issue."""
    parts = [f"# {escape(table.title(ranking))}", _grid(table.ranking_grid(ranking))]
    parts.append("\n".join(f"{number}. {escape(note)}" for number, note in enumerate(table.numbered_notes(ranking), 1)))
    parts.append(bullets(ranking.notes))
    if printed := table.published_grid(ranking):
        parts += [f"## {table.PUBLISHED_TITLE}", _grid(printed)]
    if ranking.correlations:
        parts += [f"## {table.CORRELATIONS_TITLE}"]
        parts += [lines(table.CORRELATIONS_HEADER, table.correlation_rows(ranking), names=1)]
    if changes := table.change_lines(ranking):
        parts += [f"## {table.CHANGES_TITLE}", bullets(changes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    r"""A stranger's text as Markdown that shows it and does nothing else.

    >>> escape("a|b <script>"), escape("_x_")
    ('a\\|b &lt;script&gt;', '\\_x\\_')
    """
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", plain).replace("://", ":&#47;/")


def bullets(texts: Sequence[str]) -> str:
    """A list of texts, escaped."""
    return "\n".join(f"- {escape(text)}" for text in texts)


def lines(header: Sequence[str], rows: Sequence[Sequence[str]], names: int) -> str:
    """A table of `names` columns of text, which are escaped, and columns of figures."""
    cells = [[*map(escape, row[:names]), *row[names:]] for row in rows]
    return _table(header, cells, [at < names for at, _ in enumerate(header)])


def _grid(grid: Grid) -> str:
    rows = [[_cell(column, cell) for column, cell in line] for line in grid.lines]
    return _table([column.header for column in grid.columns], rows, [column.left for column in grid.columns])


def _cell(column: Column, cell: Cell) -> str:
    text = escape(cell.text) if column.left else cell.text
    rank = "" if cell.rank is None else f"<sub>{cell.rank}</sub>"
    notes = f"<sup>{','.join(map(str, cell.notes))}</sup>" if cell.notes else ""
    return f"{text}{rank}{notes}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[bool]) -> str:
    align = "|".join(":--" if one else "--:" for one in left)
    head = " | ".join(map(escape, header))
    return "\n".join([f"| {head} |", f"|{align}|", *(f"| {' | '.join(row)} |" for row in rows)])
