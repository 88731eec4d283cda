"""A table as the page shows it: the cells of `esr.report.table`, with what sorting and filtering need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from esr.ranking import Row
from esr.report.table import Cell, Column, Grid


@dataclass(frozen=True)
class PageRow:
    """One network."""

    index: int
    """Its place in the ranking, by which the page's scripts know it."""
    name: str
    flag: str | None
    kind: str
    words: str
    """Text that the filter searches, in lower case."""
    cells: Sequence[tuple[Column, Cell]]


@dataclass(frozen=True)
class PageTable:
    """A table."""

    columns: Sequence[Column]
    rows: Sequence[PageRow]


def page_table(grid: Grid, indices: Mapping[str, int]) -> PageTable:
    """A grid's rows for the page; `indices`: an entry's key -> its place in the ranking."""
    rows = [_row(row, cells, indices[row.entry.key]) for row, cells in zip(grid.rows, grid.lines, strict=True)]
    return PageTable(grid.columns, rows)


def flag(row: Row) -> str | None:
    """`tainted`, `failed`, or `None` where the record is clean."""
    return None if row.entry.verdict == "clean" else row.entry.verdict


def kind(row: Row) -> str:
    """`ranked`, `unranked` or `baseline`."""
    return "baseline" if row.entry.reference else "ranked" if row.ranked else "unranked"


def _row(row: Row, cells: Sequence[tuple[Column, Cell]], index: int) -> PageRow:
    entry = row.entry
    words = " ".join((entry.key, entry.title, entry.team or "", entry.verdict, kind(row))).lower()
    return PageRow(index, entry.key, flag(row), kind(row), words, cells)
