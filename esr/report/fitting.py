"""Tables that fit a terminal: whole columns are left out and named, no figure is ever cut."""

from collections.abc import Callable, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from esr.report.table import Cell, Column, Grid, RowType

GAP = 1
"""Columns of the terminal between two of the table's."""
_NARROWEST = 12
"""Width to which a column of text is narrowed once no more columns may be left out."""


def plain(_: Column[RowType], cell: Cell) -> str:
    """A cell's text alone."""
    return cell.text


def print_fitting(
    grid: Grid[RowType],
    screen: Console,
    left_out_first: Sequence[str] = (),
    text: Callable[[Column[RowType], Cell], str] = plain,
    style: Callable[[RowType], str | None] = lambda _: None,
    gap: int = GAP,
) -> list[str]:
    """Prints as many columns as fit; returns the headers of the others.

    A header may break between words, and text may be folded; a figure stays whole and on one line.

    Args:
        grid: The table.
        screen: Where it is printed.
        left_out_first: Keys of the columns that a narrow terminal does without, in this order.
        text: Text of a cell.
        style: Style of a row.
        gap: Columns of the terminal between two of the table's.
    """
    lines = [(row, [text(column, cell) for column, cell in line]) for row, line in grid.lines]
    columns = {column.key: column for column in grid.columns}
    widths = {key: _width(column, [line[at] for _, line in lines]) for at, (key, column) in enumerate(columns.items())}
    for key in left_out_first:
        if _total(widths, gap) <= screen.width:
            break
        widths.pop(key, None)
    for key in [key for key in widths if columns[key].left]:
        excess = max(0, _total(widths, gap) - screen.width)
        widths[key] = max(min(widths[key], _NARROWEST), widths[key] - excess)
    made = Table(box=box.SIMPLE_HEAD, padding=(0, gap - 1, 0, 0), show_edge=False, pad_edge=False)
    for key, width in widths.items():
        left = columns[key].left
        made.add_column(Text(columns[key].header), justify="left" if left else "right", width=width, overflow="fold")
    for row, line in lines:
        kept = [Text(cell) for key, cell in zip(columns, line, strict=True) if key in widths]
        made.add_row(*kept, style=style(row))
    screen.print(made)
    return [columns[key].header for key in left_out_first if key in columns.keys() - widths.keys()]


def left_out_line(headers: Sequence[str], elsewhere: str) -> list[str]:
    """The line that names the columns left out; empty where there are none."""
    return [f"· not shown at this width: {', '.join(headers)}; {elsewhere}"] if headers else []


def print_left_out(headers: Sequence[str], elsewhere: str, screen: Console) -> None:
    """Prints that line, if there is one."""
    for line in left_out_line(headers, elsewhere):
        screen.print(line)


def texts(headers: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> Grid[Sequence[str]]:
    """A table of texts, one for each header; the first `left` of them are words, the others figures."""

    def column(at: int, header: str) -> Column[Sequence[str]]:
        return Column(header, header, lambda row: Cell(row[at]), left=at < left)

    return Grid([column(at, header) for at, header in enumerate(headers)], rows)


def _width(column: Column[RowType], texts: Sequence[str]) -> int:
    header = column.header.split()
    return max([cell_len(text) for text in [*texts, *header]], default=1)


def _total(widths: dict[str, int], gap: int) -> int:
    return sum(widths.values()) + gap * (len(widths) - 1)
