"""A ranking on the terminal: as many columns as fit, and the names of the others."""

from dataclasses import replace

from rich.cells import cell_len
from rich.console import Console

from esr.ranking.structures import Ranking, Row
from esr.report import table
from esr.report.fitting import NAME, fitted, left_out_line, print_fitting
from esr.report.table import Cell, Column
from esr.system.console import captured
from esr.text import shortened

MOST_ROWS = 200
"""Nobody reads more rows on a terminal."""
_DROPPED_FIRST = ("convolutions", "team", "energy", "macs", "activations", "memory", "flops", "flops_fvcore")
"""Columns that a narrow terminal does without, in this order, after that of runtime's figure without a rank."""
_ELSEWHERE = "--format markdown shows them"
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
    made, dropped = fitted(grid, screen.width, (second, *_DROPPED_FIRST), _text, _style)
    screen.print(made)
    shown = {number for _, line in grid.lines for _, cell in line for number in cell.notes}
    notes = [
        f"{str(number).translate(_SUPERSCRIPT)} {note}"
        for number, note in enumerate(table.numbered_notes(ranking), 1)
        if number in shown
    ]
    notes += [f"· {note}" for note in ranking.notes]
    if left := len(ranking.rows) - len(grid.rows):
        notes.append(f"· {left} more networks: --format csv has them all")
    notes += left_out_line(dropped, _ELSEWHERE)
    if notes:
        screen.print(*notes, sep="\n")
    for _, title, printed in table.grids_beside(ranking):
        screen.print(f"\n{title}")
        beside = replace(printed, rows=printed.rows[:MOST_ROWS])
        print_fitting(beside, screen, _DROPPED_FIRST, _text, _style, elsewhere=_ELSEWHERE)
    if correlations := table.correlation_grid(ranking):
        screen.print(f"\n{table.CORRELATIONS_TITLE}")
        print_fitting(correlations, screen, gap=3)
    if changes := table.change_lines(ranking):
        screen.print(f"\n{table.CHANGES_TITLE}:", *(f"· {line}" for line in changes[:MOST_ROWS]), sep="\n")


def _style(row: Row) -> str | None:
    return None if row.ranked else "dim"


def _text(column: Column[Row], cell: Cell) -> str:
    """Figure and rank; names are cut, their footnotes are not."""
    text = cell.text if cell.rank is None else cell.text + str(cell.rank).translate(_SUBSCRIPT)
    mark = ",".join(map(str, cell.notes)).translate(_SUPERSCRIPT)
    if column.left:
        text = shortened(text, NAME - cell_len(mark))
    return text + mark
