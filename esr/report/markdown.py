"""A ranking as Markdown: tables with subscript ranks, and numbered notes."""

import re
from collections.abc import Sequence

from esr.ranking.structures import Ranking
from esr.report import table
from esr.report.table import Cell, Column, Grid, RowType
from esr.text import printable

_SPECIAL = re.compile(r"([\\`*_\[\]#|~])")


def render(ranking: Ranking, columns: Sequence[str] = ()) -> str:
    """The whole ranking, ready for a README or an issue.

    Args:
        ranking: The ranking.
        columns: Keys of the columns to print; by default all.

    Raises:
        ConfigError: There is no such column.
    """
    grid = table.chosen(ranking, columns) if columns else table.ranking_grid(ranking)
    notes = [f"{number}. {escape(note)}" for number, note in enumerate(table.numbered_notes(ranking), 1)]
    parts = [f"# {escape(table.title(ranking))}", drawn(grid), "\n".join(notes)]
    parts.append(bullets(ranking.notes))
    for _, title, grid in table.grids_beside(ranking):
        parts += [f"## {title}", drawn(grid)]
    if correlations := table.correlation_grid(ranking):
        parts += [f"## {table.CORRELATIONS_TITLE}", drawn(correlations)]
    if changes := table.change_lines(ranking):
        parts += [f"## {table.CHANGES_TITLE}", bullets(changes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    r"""A stranger's text as Markdown that shows it and does nothing else.

    >>> escape("a|b <script>"), escape("_x_")
    ('a\\|b &lt;script&gt;', '\\_x\\_')
    """
    plain = printable(" ".join(text.split())).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", plain).replace("://", ":&#47;/")


def bullets(texts: Sequence[str]) -> str:
    """A list of texts, escaped."""
    return "\n".join(f"- {escape(text)}" for text in texts)


def drawn(grid: Grid[RowType]) -> str:
    """A table; its columns of text are escaped."""
    rows = [[escape(column.header) for column in grid.columns]]
    rows += [[_cell(column, cell) for column, cell in line] for _, line in grid.lines]
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    align = "|".join(":--" if column.left else "--:" for column in grid.columns)
    return "\n".join([head, f"|{align}|", *body])


def _cell(column: Column[RowType], cell: Cell) -> str:
    text = escape(cell.text) if column.left else cell.text
    rank = "" if cell.rank is None else f"<sub>{cell.rank}</sub>"
    notes = f"<sup>{','.join(map(str, cell.notes))}</sup>" if cell.notes else ""
    return f"{text}{rank}{notes}"
