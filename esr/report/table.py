"""The ranking's tables, cell by cell: every format draws what stands here."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from esr.ranking import Interval, Metric, Ranking, Row, Track
from esr.report.wording import DASH, number

METRIC_WORDS: dict[Metric, str] = {
    "runtime": "runtime",
    "params": "params",
    "flops": "FLOPs (challenge)",
    "macs": "MACs (dispatcher)",
    "activations": "activations",
    "memory": "memory",
}
PUBLISHED_TITLE = "Measured, and published in parentheses"
CORRELATIONS_TITLE = "Rank correlation with runtime, with 95 % intervals"
CORRELATIONS_HEADER = ("metric", "Spearman", "Kendall")
CHANGES_TITLE = "Ranks by FLOPs (challenge) that differ from ranks by MACs (dispatcher)"
_COUNTS: tuple[tuple[Metric, str, float, int], ...] = (
    ("params", "params [M]", 1e6, 3),
    ("flops", "FLOPs [G]", 1e9, 2),
    ("macs", "MACs [G]", 1e9, 2),
    ("activations", "acts [M]", 1e6, 2),
    ("memory", "mem [MiB]", 1, 1),
)
_LARGEST_PLAIN_SCORE = 1e6
"""Larger scores are printed with an exponent."""


@dataclass(frozen=True)
class Cell:
    """One figure of one network."""

    text: str
    rank: int | None = None
    """Printed as a subscript."""
    key: str | float | None = None
    """Unrounded value to sort by; `None` sorts last."""
    notes: tuple[int, ...] = ()
    """Numbers of footnotes, printed as a superscript."""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    key: str
    header: str
    cell: Callable[[Row], Cell]
    left: bool = False
    """Text, not a figure."""


@dataclass(frozen=True)
class Grid:
    """A table: columns, and a line of cells for each row."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    cells: Sequence[Sequence[Cell]]

    @property
    def lines(self) -> Iterable[list[tuple[Column, Cell]]]:
        """Each row's cells with their columns."""
        return ([*zip(self.columns, line, strict=True)] for line in self.cells)


def ranking_grid(ranking: Ranking) -> Grid:
    """The ranking's table; columns without any figure are left out."""
    first = ranking.tracks[0].key
    numbers = {note: number for number, note in enumerate(numbered_notes(ranking), 1)}

    def place(row: Row) -> Cell:
        rank = row.places[first].rank if row.ranked else None
        return Cell(number(rank, 0), key=rank)

    def network(row: Row) -> Cell:
        name = row.entry.key
        return Cell(name, key=name.casefold(), notes=tuple(numbers[note] for note in row.notes))

    def team(row: Row) -> Cell:
        name = row.entry.team
        return Cell(name or DASH, key=name.casefold() if name else None)

    teams = any(row.entry.team and row.entry.team != row.entry.key for row in ranking.rows)
    sets = dict.fromkeys(name for row in ranking.rows for name in row.entry.figures.psnr_rgb)
    columns = [
        Column("place", "#", place),
        Column("network", "network", network, left=True),
        *([Column("team", "team", team, left=True)] if teams else []),
        *map(_psnr_column, sets),
        *_runtime_columns(ranking),
        *(_metric_column(*count) for count in _COUNTS),
        Column("convolutions", "convs", lambda row: _figure(row.entry.figures.convolutions, 0)),
        Column("energy", "energy [mJ]", lambda row: _figure(row.entry.figures.energy_mj, 1)),
        *(_track_column(track) for track in ranking.tracks if len(track.ranks) != 1),
    ]
    grid = _grid(columns, ranking.rows)
    kept = [at for at, _ in enumerate(columns) if any(line[at].text not in (DASH, "") for line in grid.cells)]
    return Grid([columns[at] for at in kept], grid.rows, [[line[at] for at in kept] for line in grid.cells])


def published_grid(ranking: Ranking) -> Grid | None:
    """The challenge's printed figures beside the measured ones; `None` where none were printed."""
    rows = [row for row in ranking.rows if row.entry.published]
    if ranking.source == "published" or not rows:
        return None
    columns = [
        Column("network", "network", lambda row: Cell(row.entry.key, key=row.entry.key.casefold()), left=True),
        Column("rank", "rank by runtime", _rank_beside),
        _column_beside("ratio", f"ratio to {ranking.baseline}", "runtime", 1, 3),
        *(
            _column_beside(metric, header, metric, unit, digits)
            for metric, header, unit, digits in _COUNTS
            if metric != "macs"  # of which nothing was printed
        ),
    ]
    return _grid(columns, rows)


def numbered_notes(ranking: Ranking) -> list[str]:
    """Footnotes of networks, each once, in the table's order; they are numbered from 1."""
    return list(dict.fromkeys(note for row in ranking.rows for note in row.notes))


def title(ranking: Ranking) -> str:
    """Challenge, source of the figures and conditions that all records share."""
    source = "published figures" if ranking.source == "published" else "measured"
    return f"{ranking.title}: {', '.join((source, *ranking.conditions))}"


def correlation_rows(ranking: Ranking) -> list[tuple[str, str, str]]:
    """Cells under `CORRELATIONS_HEADER`."""
    return [
        (
            f"{METRIC_WORDS[found.metric]} ({found.networks} networks)",
            coefficient(found.spearman, found.spearman_interval),
            coefficient(found.kendall, found.kendall_interval),
        )
        for found in ranking.correlations
    ]


def coefficient(value: float, interval: Interval | None) -> str:
    """A correlation with its interval.

    >>> coefficient(0.45, Interval(0.12, 0.7))
    '0.45 [0.12, 0.70]'
    """
    return f"{value:.2f}{bounds(interval, 2)}"


def change_lines(ranking: Ranking) -> list[str]:
    """A sentence for each network that FLOPs and MACs rank differently, with the reason."""
    lines = []
    for change in ranking.changes:
        missed = ", ".join(
            f"{operator} {macs / 1e9:.2f} G" for operator, macs in sorted(change.missed_by_hooks.items())
        )
        why = f"the challenge's hooks missed {missed}" if missed else "the hooks missed nothing of it"
        lines.append(
            f"{change.key}: {change.flops_rank} by FLOPs ({change.flops / 1e9:.2f} G), "
            f"{change.macs_rank} by MACs ({change.macs / 1e9:.2f} G); {why}"
        )
    return lines


def bounds(interval: Interval | None, digits: int) -> str:
    """An interval to follow its figure; empty without one."""
    return f" [{interval.low:.{digits}f}, {interval.high:.{digits}f}]" if interval else ""


def bracket_letters(brackets: Sequence[int]) -> str:
    """A network's brackets: a to z, then aa, ab and so on.

    >>> bracket_letters((0, 1)), bracket_letters((26,))
    ('a,b', 'aa')
    """
    return ",".join(_letters(bracket) for bracket in brackets)


def _letters(bracket: int) -> str:
    higher, letter = divmod(bracket, 26)
    return (_letters(higher - 1) if higher else "") + chr(ord("a") + letter)


def rank_range(row: Row) -> str:
    """Range of ranks and brackets, as `1–3 a`."""
    if row.rank_interval is None:
        return DASH
    low, high = row.rank_interval
    ranks = str(low) if low == high else f"{low}–{high}"
    return f"{ranks} {bracket_letters(row.brackets)}".rstrip()


def score(value: float | None) -> str:
    """A sum of ranks as a whole number, an exponential score with three decimals."""
    if value is None:
        return DASH
    if value == int(value):
        return str(int(value))
    return f"{value:.3f}" if value < _LARGEST_PLAIN_SCORE else f"{value:.2e}"


def set_words(name: str) -> str:
    """A data set's name in words."""
    return name.replace("_", " ")


def _grid(columns: Sequence[Column], rows: Sequence[Row]) -> Grid:
    return Grid(columns, rows, [[column.cell(row) for column in columns] for row in rows])


def _figure(value: float | None, digits: int, unit: float = 1, rank: int | None = None) -> Cell:
    return Cell(_in_unit(value, unit, digits), rank, value)


def _in_unit(value: float | None, unit: float, digits: int) -> str:
    return number(None if value is None else value / unit, digits)


def _psnr_column(name: str) -> Column:
    header = f"PSNR {set_words(name)}"
    return Column(f"psnr_rgb_{name}", header, lambda row: _figure(row.entry.figures.psnr_rgb.get(name), 2))


def _runtime_columns(ranking: Ranking) -> list[Column]:
    """The rank stands beside what was ranked: the ratio where it was measured, the milliseconds where printed."""
    printed = ranking.source == "published"

    def runtime_ms(row: Row) -> Cell:
        return _figure(row.entry.figures.runtime_ms, 2, rank=row.ranks.get("runtime") if printed else None)

    def ratio(row: Row) -> Cell:
        figures = row.entry.figures
        text = number(figures.ratio, 3) + bounds(figures.ratio_interval, 3)
        return Cell(text, None if printed else row.ranks.get("runtime"), figures.ratio)

    def ranks(row: Row) -> Cell:
        return Cell(rank_range(row), key=sum(row.rank_interval) / 2 if row.rank_interval else None)

    return [
        Column("runtime_ms", "ms", runtime_ms),
        Column("ratio", f"ratio to {ranking.baseline}", ratio),
        Column("rank_interval", "rank range", ranks),
    ]


def _metric_column(metric: Metric, header: str, unit: float, digits: int) -> Column:
    def cell(row: Row) -> Cell:
        value = row.entry.figures.metric(metric)
        least = "≥ " if metric == "macs" and row.entry.without_formula else ""
        return Cell(least + _in_unit(value, unit, digits), row.ranks.get(metric), value)

    return Column(metric, header, cell)


def _track_column(track: Track) -> Column:
    def cell(row: Row) -> Cell:
        place = row.places.get(track.key)
        return Cell(DASH) if place is None else Cell(score(place.score), place.rank, place.score)

    return Column(track.key, track.key, cell)


def _rank_beside(row: Row) -> Cell:
    own = row.ranks.get("runtime")
    return Cell(f"{number(own, 0)} ({number(row.entry.published_ranks.get('runtime'), 0)})", key=own)


def _column_beside(key: str, header: str, metric: Metric, unit: float, digits: int) -> Column:
    def cell(row: Row) -> Cell:
        value = row.entry.figures.metric(metric)
        printed = row.entry.published.metric(metric) if row.entry.published else None
        return Cell(f"{_in_unit(value, unit, digits)} ({_in_unit(printed, unit, digits)})", key=value)

    return Column(key, header, cell)
