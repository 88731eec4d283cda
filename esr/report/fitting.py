"""Tables that fit a terminal: whole columns are left out and named, no figure is ever cut."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from esr.records.files import Record
from esr.report.table import Cell, Column, Grid, RowType
from esr.text import one_line, shortened

GAP = 1
"""Columns of the terminal between two of the table's."""
NAME = 24
"""Cells of a name in a table, where it is told from others; the files have the whole."""
_LONGEST_NAME, _LONGEST_HEADER = 60, 40
"""Cells of a name within a sentence, and of a header."""
_NARROWEST = 12
"""Width to which a column of text is narrowed once no more columns may be left out."""
_SENTENCES = 24
"""Width to which a column of sentences is narrowed before a column is left out."""


def plain(_: Column[RowType], cell: Cell) -> str:
    """A cell's text alone."""
    return cell.text


def named(column: Column[RowType], cell: Cell) -> str:
    """A cell's text, of words no more than a name may take."""
    return shortened(cell.text, NAME) if column.left else cell.text


def brief(text: str, *records: Record) -> str:
    """Running text in which long names of networks and data sets are cut."""
    networks = {one.name for record in records for one in (record.candidate, record.baseline)}
    for name in sorted(networks | {record.document.data.name for record in records}, key=len, reverse=True):
        text = text.replace(name, shortened(name, _LONGEST_NAME)) if cell_len(name) > _LONGEST_NAME else text
    return text


def print_fitting(
    grid: Grid[RowType],
    screen: Console,
    left_out_first: Sequence[str] = (),
    text: Callable[[Column[RowType], Cell], str] = plain,
    style: Callable[[RowType], str | None] = lambda _: None,
    gap: int = GAP,
    sentences: Collection[str] = (),
    elsewhere: str = "--format json has them",
) -> None:
    """Prints as many columns as fit, and where the others are; the other arguments are those of `fitted`."""
    made, left_out = fitted(grid, screen.width, left_out_first, text, style, gap, sentences)
    for one in (made, *left_out_line(left_out, elsewhere)):
        screen.print(one)


def fitted(
    grid: Grid[RowType],
    room: int,
    left_out_first: Sequence[str] = (),
    text: Callable[[Column[RowType], Cell], str] = plain,
    style: Callable[[RowType], str | None] = lambda _: None,
    gap: int = GAP,
    sentences: Collection[str] = (),
    *,
    stacked: bool = False,
) -> tuple[Table, list[str]]:
    """A table of as many columns as fit, and the headers of the others.

    A header may break between words, and text may be folded; a figure stays whole and on one line, above its
    interval where there is no room beside it.

    Args:
        grid: The table; what is unprintable in it is replaced.
        room: Columns of the terminal.
        left_out_first: Keys of the columns that a narrow terminal does without, in this order.
        text: Text of a cell.
        style: Style of a row.
        gap: Columns of the terminal between two of the table's.
        sentences: Keys of the columns of text that are folded before any column is left out.
        stacked: Intervals stand below their figures.
    """

    def shown(column: Column[RowType], cell: Cell) -> str:
        line = one_line(text(column, cell))
        return line.replace(" [", "\n[") if stacked and not column.left else line

    lines = [(row, [shown(column, cell) for column, cell in line]) for row, line in grid.lines]
    columns = {one.key: replace(one, header=shortened(one_line(one.header), _LONGEST_HEADER)) for one in grid.columns}
    widths = {key: _width(column, [line[at] for _, line in lines]) for at, (key, column) in enumerate(columns.items())}
    least = {key: min(width, _SENTENCES) if key in sentences else width for key, width in widths.items()}
    for key in left_out_first:
        if _total(least, gap) <= room:
            break
        least.pop(key, None)
    kept = {key: widths[key] for key in least}
    words = {key: width for key, width in kept.items() if columns[key].left}
    figures = _total(kept, gap) - sum(words.values())
    kept |= _shared(words, room - figures)
    if _total(kept, gap) > room and not stacked:
        return fitted(grid, room, left_out_first, text, style, gap, sentences, stacked=True)
    made = Table(box=box.SIMPLE_HEAD, padding=(0, gap - 1, 0, 0), show_edge=False, pad_edge=False)
    for key, width in kept.items():
        left = columns[key].left
        made.add_column(Text(columns[key].header), justify="left" if left else "right", width=width, overflow="fold")
    for row, line in lines:
        cells = [Text(cell) for key, cell in zip(columns, line, strict=True) if key in kept]
        made.add_row(*cells, style=style(row))
    return made, [columns[key].header for key in left_out_first if key in columns.keys() - kept.keys()]


def left_out_line(headers: Sequence[str], elsewhere: str) -> list[str]:
    """The line that names the columns left out; empty where there are none."""
    return [f"· not shown at this width: {', '.join(headers)}; {elsewhere}"] if headers else []


def texts(headers: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[str]) -> Grid[Sequence[str]]:
    """A table of texts, one for each header, by which `left` names the columns of words; the others hold figures."""

    def column(at: int, header: str) -> Column[Sequence[str]]:
        return Column(header, header, lambda row: Cell(row[at]), left=header in left)

    return Grid([column(at, header) for at, header in enumerate(headers)], rows)


def _shared(widths: Mapping[str, int], room: int) -> dict[str, int]:
    """Widths of columns of text in what room there is: short ones keep theirs, long ones share the rest evenly."""
    shared: dict[str, int] = {}
    for left, key in zip(range(len(widths), 0, -1), sorted(widths, key=lambda key: widths[key]), strict=True):
        fair = (room - sum(shared.values())) // left
        shared[key] = min(widths[key], max(fair, _NARROWEST))
    return shared


def _width(column: Column[RowType], texts: Sequence[str]) -> int:
    parts = [*"\n".join(texts).split("\n"), *column.header.split()]
    return max(map(cell_len, parts), default=1)


def _total(widths: Mapping[str, int], gap: int) -> int:
    return sum(widths.values()) + gap * (len(widths) - 1)
