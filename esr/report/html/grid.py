"""The table as the page shows it: the cells of `esr.report.table`, each with the unrounded value to sort by."""

from collections.abc import Sequence
from dataclasses import dataclass

from esr.ranking import METRICS, Ranking, Row
from esr.report import table
from esr.report.table import Column

Key = str | float | None
_TEXT = ("network", "team")


@dataclass(frozen=True)
class Field:
    """One cell."""

    text: str
    rank: int | None
    key: Key
    """What the column is sorted by; none comes last."""


@dataclass(frozen=True)
class Line:
    """One network."""

    index: int
    """Its place in the ranking, by which the page's scripts know it."""
    name: str
    marks: tuple[int, ...]
    """Numbers of its footnotes."""
    flag: str | None
    """`tainted` or `failed`."""
    kind: str
    """`ranked`, `unranked` or `reference`."""
    words: str
    """What the filter looks through, in lower case."""
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Grid:
    """A table."""

    columns: Sequence[Column]
    lines: Sequence[Line]


def grid(ranking: Ranking) -> Grid:
    """The ranking's table."""
    return _grid(ranking, table.columns(ranking), ranking.rows)


def published_grid(ranking: Ranking) -> Grid | None:
    """The second table, measured beside published; none where nothing was published."""
    columns = table.published_columns(ranking)
    return _grid(ranking, columns, table.published_rows(ranking)) if columns else None


def sort_key(column: str, row: Row, track: str) -> Key:
    """What a column is sorted by; lower comes first.

    Args:
        column: Its key.
        row: The network.
        track: Key of the track that orders the rows.
    """
    entry, figures = row.entry, row.entry.figures
    if column in _TEXT:
        return ((entry.key if column == "network" else entry.team) or "").casefold() or None
    if column.startswith("psnr_"):
        return figures.psnr.get(column.removeprefix("psnr_"))
    if column in row.places:
        return row.places[column].score
    known: dict[str, float | None] = {
        **{metric: figures.metric(metric) for metric in METRICS},
        "place": row.places[track].rank if row.ranked else None,
        "rank_interval": sum(row.rank_interval) / 2 if row.rank_interval else None,
        "runtime_ms": figures.runtime_ms,
        "ratio": figures.ratio,
        "convolutions": figures.convolutions,
        "energy": figures.energy_mj,
    }
    return known.get(column)


def kind(row: Row) -> str:
    """How a network takes part."""
    return "reference" if row.entry.reference else "ranked" if row.ranked else "unranked"


def _grid(ranking: Ranking, columns: Sequence[Column], rows: Sequence[Row]) -> Grid:
    marks = table.footnotes(ranking).marks
    indices = {row.entry.key: index for index, row in enumerate(ranking.rows)}
    track = ranking.tracks[0].key

    def line(row: Row) -> Line:
        entry = row.entry
        cells = ((column, column.cell(row)) for column in columns)
        return Line(
            index=indices[entry.key],
            name=entry.key,
            marks=marks.get(entry.key, ()),
            flag=None if entry.verdict == "clean" else entry.verdict,
            kind=kind(row),
            words=" ".join((entry.key, entry.title, entry.team or "", entry.verdict, kind(row))).lower(),
            fields=tuple(Field(cell.text, cell.rank, sort_key(c.key, row, track)) for c, cell in cells),
        )

    return Grid(columns, [line(row) for row in rows])
