"""A ranking on the terminal: as many columns as fit, and the names of the others."""

from collections.abc import Sequence

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table

from esr.ranking import Ranking
from esr.report import table
from esr.report.table import Cell, Column, Grid
from esr.system.console import captured

MOST_ROWS = 200
"""Nobody reads more rows on a terminal."""
_DROPPED_FIRST = ("convolutions", "team", "energy", "macs", "activations", "memory", "flops")
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
    grid = _first_rows(table.ranking_grid(ranking))
    second = "ratio" if ranking.source == "published" else "runtime_ms"
    screen.print(table.title(ranking))
    dropped = _print_fitting(grid, screen, (second, *_DROPPED_FIRST))
    shown = {number for line in grid.cells for cell in line for number in cell.notes}
    for number, note in enumerate(table.numbered_notes(ranking), 1):
        if number in shown:
            screen.print(f"{str(number).translate(_SUPERSCRIPT)} {note}")
    for note in ranking.notes:
        screen.print(f"· {note}")
    if left := len(ranking.rows) - len(grid.rows):
        screen.print(f"· {left} more networks: --format csv has them all")
    if dropped:
        screen.print(f"· not shown at this width: {', '.join(dropped)}; --format markdown shows them")
    if printed := table.published_grid(ranking):
        screen.print(f"\n{table.PUBLISHED_TITLE}")
        _print_fitting(_first_rows(printed), screen, _DROPPED_FIRST)
    if ranking.correlations:
        screen.print(f"\n{table.CORRELATIONS_TITLE}")
        screen.print(_correlations(ranking))
    if changes := table.change_lines(ranking):
        screen.print(f"\n{table.CHANGES_TITLE}:")
        for line in changes[:MOST_ROWS]:
            screen.print(f"· {line}")


def _first_rows(grid: Grid) -> Grid:
    return Grid(grid.columns, grid.rows[:MOST_ROWS], grid.cells[:MOST_ROWS])


def _print_fitting(grid: Grid, screen: Console, dropped_first: Sequence[str]) -> list[str]:
    """Prints as many columns as fit; returns the headers of the others."""
    widths = [_width(column, [line[at] for line in grid.cells]) for at, column in enumerate(grid.columns)]
    kept = list(range(len(widths)))
    dropped: list[str] = []
    for key in dropped_first:
        if sum(widths[at] + _GAP for at in kept) <= screen.width:
            break
        dropped += [grid.columns[at].header for at in kept if grid.columns[at].key == key]
        kept = [at for at in kept if grid.columns[at].key != key]
    drawn = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for at in kept:
        column = grid.columns[at]
        drawn.add_column(column.header, justify="left" if column.left else "right", width=widths[at])
    for row, line in zip(grid.rows, grid.cells, strict=True):
        style = None if row.ranked else "dim"
        drawn.add_row(*(_text(grid.columns[at], line[at]) for at in kept), style=style)
    screen.print(drawn)
    return dropped


def _width(column: Column, cells: Sequence[Cell]) -> int:
    """Cells stay on one line; a header may break between words."""
    widest = max((cell_len(_text(column, cell)) for cell in cells), default=1)
    return max(widest, *map(len, column.header.split()))


def _text(column: Column, cell: Cell) -> str:
    """Figure and rank; names are cut, their footnotes are not."""
    text = cell.text if cell.rank is None else cell.text + str(cell.rank).translate(_SUBSCRIPT)
    mark = ",".join(map(str, cell.notes)).translate(_SUPERSCRIPT)
    if column.left:
        text = set_cell_size(text, min(cell_len(text), _NAME_WIDTH - cell_len(mark)))
    return text + mark


def _correlations(ranking: Ranking) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for at, header in enumerate(table.CORRELATIONS_HEADER):
        drawn.add_column(header, justify="right" if at else "left")
    for cells in table.correlation_rows(ranking):
        drawn.add_row(*cells)
    return drawn
