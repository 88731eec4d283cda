"""A ranking on the terminal: as many columns as fit, and the names of the others."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table

from esr.ranking import Ranking, Row
from esr.report import table
from esr.report.table import Cell, Column, Grid, RowType
from esr.system.console import captured

MOST_ROWS = 200
"""Nobody reads more rows on a terminal."""
_DROPPED_FIRST = ("convolutions", "team", "energy", "macs", "activations", "memory", "flops", "flops_fvcore")
"""Columns that a narrow terminal does without, in this order, after that of runtime's figure without a rank."""
_GAP = 1
"""Between two columns."""
_NAME_WIDTH = 24
_SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_SUPERSCRIPT = str.maketrans("0123456789,", "⁰¹²³⁴⁵⁶⁷⁸⁹·")


def render(ranking: Ranking) -> str:
    """The table and its notes as plain text, for a file."""
    return captured(lambda screen: print_ranking(ranking, screen))


def print_ranking(ranking: Ranking, screen: Console) -> None:
    """Prints the table, its notes, correlations and differing ranks."""
    whole = table.ranking_grid(ranking)
    grid = replace(whole, rows=whole.rows[:MOST_ROWS])
    second = "ratio" if ranking.source == "published" else "runtime_ms"
    screen.print(table.title(ranking))
    dropped = _print_fitting(grid, screen, (second, *_DROPPED_FIRST))
    shown = {number for _, line in grid.lines for _, cell in line for number in cell.notes}
    notes = [
        f"{str(number).translate(_SUPERSCRIPT)} {note}"
        for number, note in enumerate(table.numbered_notes(ranking), 1)
        if number in shown
    ]
    notes += [f"· {note}" for note in ranking.notes]
    if left := len(ranking.rows) - len(grid.rows):
        notes.append(f"· {left} more networks: --format csv has them all")
    if dropped:
        notes.append(f"· not shown at this width: {', '.join(dropped)}; --format markdown shows them")
    if notes:
        screen.print(*notes, sep="\n")
    if printed := table.published_grid(ranking):
        screen.print(f"\n{table.PUBLISHED_TITLE}")
        _print_fitting(replace(printed, rows=printed.rows[:MOST_ROWS]), screen, _DROPPED_FIRST)
    if correlations := table.correlation_grid(ranking):
        style = {"box": box.SIMPLE_HEAD, "show_edge": False, "pad_edge": False}
        screen.print(f"\n{table.CORRELATIONS_TITLE}", drawn(correlations, **style), sep="\n")
    if changes := table.change_lines(ranking):
        screen.print(f"\n{table.CHANGES_TITLE}:", *(f"· {line}" for line in changes[:MOST_ROWS]), sep="\n")


def drawn(grid: Grid[RowType], **style: Any) -> Table:
    """A table in a style, the arguments of `rich.table.Table`."""
    made = Table(**style)
    for column in grid.columns:
        made.add_column(column.header, justify="left" if column.left else "right")
    for _, line in grid.lines:
        made.add_row(*(cell.text for _, cell in line))
    return made


def _print_fitting(grid: Grid[Row], screen: Console, dropped_first: Sequence[str]) -> list[str]:
    """Prints as many columns as fit; returns the headers of the others."""
    widths = {column.key: _width(grid, at) for at, column in enumerate(grid.columns)}
    for key in dropped_first:
        if sum(widths.values()) + _GAP * len(widths) <= screen.width:
            break
        widths.pop(key, None)
    made = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for column in grid.columns:
        if column.key in widths:
            made.add_column(column.header, justify="left" if column.left else "right", width=widths[column.key])
    for row, line in grid.lines:
        texts = [_text(column, cell) for column, cell in line if column.key in widths]
        made.add_row(*texts, style=None if row.ranked else "dim")
    screen.print(made)
    headers = {column.key: column.header for column in grid.columns}
    return [headers[key] for key in dropped_first if key in headers.keys() - widths.keys()]


def _width(grid: Grid[Row], at: int) -> int:
    """Width of a column, whose cells stay on one line; a header may break between words."""
    texts = [_text(*line[at]) for _, line in grid.lines]
    return max(map(cell_len, [*texts, *grid.columns[at].header.split()]))


def _text(column: Column[Row], cell: Cell) -> str:
    """Figure and rank; names are cut, their footnotes are not."""
    text = cell.text if cell.rank is None else cell.text + str(cell.rank).translate(_SUBSCRIPT)
    mark = ",".join(map(str, cell.notes)).translate(_SUPERSCRIPT)
    if column.left:
        text = set_cell_size(text, min(cell_len(text), _NAME_WIDTH - cell_len(mark)))
    return text + mark
