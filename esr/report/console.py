"""A ranking on the terminal: as much of the table as the width allows, and the rest named."""

from collections.abc import Sequence

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from esr.ranking import Ranking, Row
from esr.report import table
from esr.report.table import Column

MOST_ROWS = 200
"""More rows nobody reads on a terminal."""
_DROPPED_FIRST = ("convolutions", "team", "energy", "macs", "activations", "memory", "flops")
"""What gives way on a narrow terminal, in this order, after runtime's second figure: the one without the rank."""
_GAP = 1
"""Between two columns."""
_NAME_WIDTH = 24
_SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_SUPERSCRIPT = str.maketrans("0123456789,", "⁰¹²³⁴⁵⁶⁷⁸⁹·")


def print_ranking(ranking: Ranking, console: Console) -> None:
    """Prints the table, its notes, correlations and changes."""
    notes = table.footnotes(ranking)
    columns = table.columns(ranking)
    rows = ranking.rows[:MOST_ROWS]
    second = "ratio" if ranking.source == "published" else "runtime_ms"
    _say(console, table.title(ranking))
    drawn, dropped = _fitting(columns, rows, notes.marks, console, (second, *_DROPPED_FIRST))
    console.print(drawn, highlight=False)
    shown = {number for row in rows for number in notes.marks.get(row.entry.key, ())}
    for number, note in enumerate(notes.numbered, 1):
        if number in shown:
            _say(console, f"{str(number).translate(_SUPERSCRIPT)} {note}")
    for note in notes.general:
        _say(console, f"· {note}")
    if len(ranking.rows) > MOST_ROWS:
        _say(console, f"· {len(ranking.rows) - MOST_ROWS} more networks: --format csv has them all")
    if dropped:
        _say(console, f"· not shown at this width: {', '.join(dropped)}; --format markdown shows them")
    _print_published(ranking, console)
    _print_correlations(ranking, console)
    if changes := table.change_lines(ranking):
        _say(console, "\nPlaces by the challenge's FLOPs and by the dispatcher's MACs differ:")
        for line in changes[:MOST_ROWS]:
            _say(console, f"· {line}")


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False)


def _fitting(
    columns: Sequence[Column],
    rows: Sequence[Row],
    marks: dict[str, tuple[int, ...]],
    console: Console,
    dropped_first: Sequence[str],
) -> tuple[Table, list[str]]:
    """The table with as many columns as fit, and the headers of the others."""
    kept = list(columns)
    dropped: list[str] = []
    for key in dropped_first:
        if sum(_width(column, rows, marks) + _GAP for column in kept) <= console.width:
            break
        dropped += [column.header for column in kept if column.key == key]
        kept = [column for column in kept if column.key != key]
    drawn = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for column in kept:
        drawn.add_column(
            escape(column.header),
            justify="left" if column.left else "right",
            width=_width(column, rows, marks),
        )
    for row in rows:
        drawn.add_row(*(_cell(column, row, marks) for column in kept), style=None if row.ranked else "dim")
    return drawn, dropped


def _width(column: Column, rows: Sequence[Row], marks: dict[str, tuple[int, ...]]) -> int:
    """Cells stay on one line; a header may break between words."""
    widest = max((cell_len(_text(column, row) + _mark(column, row, marks)) for row in rows), default=1)
    return max(min(widest, _NAME_WIDTH if column.left else widest), *map(len, column.header.split()))


def _text(column: Column, row: Row) -> str:
    cell = column.cell(row)
    return cell.text if cell.rank is None else cell.text + str(cell.rank).translate(_SUBSCRIPT)


def _mark(column: Column, row: Row, marks: dict[str, tuple[int, ...]]) -> str:
    noted = marks.get(row.entry.key, ()) if column.key == "network" else ()
    return ",".join(map(str, noted)).translate(_SUPERSCRIPT)


def _cell(column: Column, row: Row, marks: dict[str, tuple[int, ...]]) -> str:
    text, mark = _text(column, row), _mark(column, row, marks)
    if column.left:
        text = set_cell_size(text, min(cell_len(text), _NAME_WIDTH - cell_len(mark)))
    return escape(text + mark)


def _print_published(ranking: Ranking, console: Console) -> None:
    if columns := table.published_columns(ranking):
        rows = table.published_rows(ranking)[:MOST_ROWS]
        drawn, _ = _fitting(columns, rows, {}, console, _DROPPED_FIRST)
        _say(console, f"\n{table.PUBLISHED_TITLE}")
        console.print(drawn, highlight=False)


def _print_correlations(ranking: Ranking, console: Console) -> None:
    if not ranking.correlations:
        return
    _say(console, "\nRank correlation with runtime, with 95 % intervals")
    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    drawn.add_column("metric")
    drawn.add_column("Spearman", justify="right")
    drawn.add_column("Kendall", justify="right")
    for cells in table.correlation_rows(ranking):
        drawn.add_row(*map(escape, cells))
    console.print(drawn, highlight=False)
