"""The ranking's tables, cell by cell: every format draws what stands here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Generic, Literal, TypeAlias, TypeVar

from esr.config.terms import Status
from esr.errors import ConfigError
from esr.ranking.challenge import METRICS, Metric, Track, metrics_of, set_key
from esr.ranking.structures import Correlation, Entry, Figures, Ranking, Row, field_of
from esr.records.reasons import CPU_NOTE
from esr.report.wording import COUNTS, DASH, bounds, count, number
from esr.text import did_you_mean, one_line

PUBLISHED_TITLE = "Measured, and published in parentheses"
CLAIMED_TITLE = "Measured, and claimed in parentheses"
CORRELATIONS_TITLE = "Rank correlation with runtime, with 95 % intervals"
CHANGES_TITLE = "Ranks by FLOPs (challenge) that differ from ranks by MACs (dispatcher)"
_LEADERS: tuple[Literal["best", "second"], ...] = ("best", "second")
_LARGEST_PLAIN_SCORE = 1e6
"""Larger scores are printed with an exponent."""
RowType = TypeVar("RowType")
Better = Literal["low", "high"]


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
class Column(Generic[RowType]):
    """One column of a table."""

    key: str
    header: str
    cell: Callable[[RowType], Cell]
    left: bool = False
    """Text, not a figure."""
    better: Better | None = None
    """Direction in which a figure is better."""
    unit: float = 1
    """Unit of the figures shown; keys are in base units."""


Line: TypeAlias = Sequence[tuple[Column[RowType], Cell]]
"""A row's cells, each with its column."""


@dataclass(frozen=True)
class Grid(Generic[RowType]):
    """A table."""

    columns: Sequence[Column[RowType]]
    rows: Sequence[RowType]

    @cached_property
    def lines(self) -> list[tuple[RowType, Line[RowType]]]:
        """Each row with its cells."""
        return [(row, [(column, column.cell(row)) for column in self.columns]) for row in self.rows]


def chosen(ranking: Ranking, names: Sequence[str]) -> Grid[Row]:
    """The ranking's table with the columns of these names, in this order; `rank_METRIC` is a metric's rank.

    Raises:
        ConfigError: There is no such column.
    """
    grid = ranking_grid(ranking)
    ranked = [metric for metric in METRICS if any(metric in row.ranks for row in ranking.rows)]
    known = {column.key: column for column in (*grid.columns, *map(_rank_column, ranked))}
    for name in names:
        if name not in known:
            raise ConfigError(f"columns={one_line(name)}: no such column; {did_you_mean(name, known, limit=5)}")
    return replace(grid, columns=[known[name] for name in names])


def leaders(grid: Grid[Row]) -> dict[tuple[str, str], Literal["best", "second"]]:
    """The best and the second best figures among ranked networks, by column's and network's key; ties share."""
    found: dict[tuple[str, str], Literal["best", "second"]] = {}
    ranked = [row for row in grid.rows if row.ranked]
    for column in grid.columns:
        keys = {row.entry.key: column.cell(row).key for row in ranked} if column.better else {}
        figures = {name: key for name, key in keys.items() if isinstance(key, int | float)}
        order = sorted(set(figures.values()), reverse=column.better == "high")
        places = dict(zip(order, _LEADERS, strict=False))
        found |= {(column.key, name): places[key] for name, key in figures.items() if key in places}
    return found


def verdict(entry: Entry) -> Status | None:
    """Status of a network's record; `None` for a published row, which has none."""
    return None if entry.source == "published" else entry.verdict


def ranking_grid(ranking: Ranking) -> Grid[Row]:
    """The ranking's table; columns without any figure are left out."""
    first = ranking.tracks[0].key
    numbers = {note: number for number, note in enumerate(numbered_notes(ranking), 1)}

    def place(row: Row) -> Cell:
        rank = row.places[first].rank if row.ranked else None
        return Cell(number(rank, 0), key=rank)

    def network(row: Row) -> Cell:
        return replace(_name(row.entry.key), notes=tuple(numbers[note] for note in row.notes))

    team: Column[Row] = Column("team", "team", lambda row: _name(row.entry.team), left=True)
    teams = any(row.entry.team and row.entry.team != row.entry.key for row in ranking.rows)
    sets = dict.fromkeys(name for row in ranking.rows for name in (*row.entry.figures.psnr_rgb, *row.entry.identical))
    columns = [
        Column("place", "#", place),
        Column("network", "network", network, left=True),
        *([team] if teams else []),
        *map(_psnr_column, sets),
        *_runtime_columns(ranking),
        *map(_metric_column, counts(ranking)),
        Column("convolutions", "convs", lambda row: _figure(row.entry.figures.convolutions, 0)),
        Column("energy", "energy [mJ]", lambda row: _figure(row.entry.figures.energy_mj, 1), better="low"),
        *(_track_column(track) for track in ranking.tracks if len(track.ranks) != 1),
    ]
    kept = [column for column in columns if any(column.cell(row).text not in (DASH, "") for row in ranking.rows)]
    return Grid(kept, ranking.rows)


def grids_beside(ranking: Ranking) -> list[tuple[str, str, Grid[Row]]]:
    """Measured figures beside published ones and beside those that participants claim: name, title, table of each."""
    found = (
        ("published", PUBLISHED_TITLE, _published_grid(ranking)),
        ("claimed", CLAIMED_TITLE, _claimed_grid(ranking)),
    )
    return [(name, title, grid) for name, title, grid in found if grid]


def _published_grid(ranking: Ranking) -> Grid[Row] | None:
    rows = [row for row in ranking.rows if row.entry.published]
    if ranking.source == "published" or not rows:
        return None
    columns = [
        Column("network", "network", lambda row: _name(row.entry.key), left=True),
        Column("rank", "rank by runtime", _rank_beside),
        _column_beside("ratio", f"ratio to {ranking.baseline}", "runtime", 3),
    ]
    for metric in counts(ranking):
        shown, known = COUNTS[metric], any(row.entry.figures.metric(metric) is not None for row in rows)
        # The dispatcher's count is printed nowhere, and a CPU's memory compares with none.
        if known and metric != "macs" and not (metric == "memory" and CPU_NOTE in ranking.notes):
            columns.append(_column_beside(metric, shown.header, metric, shown.digits, shown.unit))
    return Grid(columns, rows)


def _claimed_grid(ranking: Ranking) -> Grid[Row] | None:
    rows = [row for row in ranking.rows if row.entry.claims]
    sets = dict.fromkeys(name for row in rows for name in row.entry.figures.psnr_rgb)
    columns: list[Column[Row]] = [Column("network", "network", lambda row: _name(row.entry.key), left=True)]
    columns += [_claimed_psnr(name) for name in sets if any(_claim_on(row, name) is not None for row in rows)]
    known = {field_of(one): COUNTS[one] for one in counts(ranking)}
    wanted = {"runtime_ms": ("ms", 2, 1.0), **{name: (one.header, one.digits, one.unit) for name, one in known.items()}}
    if CPU_NOTE in ranking.notes:  # what is claimed is about a GPU
        wanted = {name: facts for name, facts in wanted.items() if name not in ("runtime_ms", "memory_mib")}
    for name, facts in wanted.items():
        if any(getattr(row.entry.claims, name) is not None for row in rows):
            columns.append(_claimed_column(name, *facts))
    return Grid(columns, rows) if len(columns) > 1 else None


def correlation_grid(ranking: Ranking) -> Grid[Correlation] | None:
    """Rank correlations with runtime; `None` where there are too few networks."""
    columns: list[Column[Correlation]] = [
        Column("by", "metric", lambda row: Cell(f"{COUNTS[row.metric].words} ({row.networks} networks)"), left=True),
        Column("spearman", "Spearman", lambda row: Cell(f"{row.spearman:.2f}{bounds(row.spearman_interval, 2)}")),
        Column("kendall", "Kendall", lambda row: Cell(f"{row.kendall:.2f}{bounds(row.kendall_interval, 2)}")),
    ]
    return Grid(columns, ranking.correlations) if ranking.correlations else None


def numbered_notes(ranking: Ranking) -> list[str]:
    """Footnotes of networks, each once, in the table's order; they are numbered from 1."""
    return list(dict.fromkeys(note for row in ranking.rows for note in row.notes))


def title(ranking: Ranking) -> str:
    """Challenge, source of the figures and conditions that all records share."""
    source = "published figures" if ranking.source == "published" else "measured"
    return f"{ranking.title}: {', '.join((source, *ranking.conditions))}"


def change_lines(ranking: Ranking) -> list[str]:
    """A sentence for each network that FLOPs and MACs rank differently, with the reason."""
    lines = []
    for change in ranking.changes:
        missed = ", ".join(f"{name} {macs / 1e9:.2f} G" for name, macs in sorted(change.missed_by_hooks.items()))
        why = f"the challenge's hooks missed {missed}" if missed else "the hooks missed nothing of it"
        if change.metric != "flops":
            why = "fvcore counts other operators"
        lines.append(
            f"{change.key}: {change.flops_rank} by FLOPs ({change.flops / 1e9:.2f} G), "
            f"{change.macs_rank} by MACs ({change.macs / 1e9:.2f} G); {why}"
        )
    return lines


def bracket_letters(brackets: Sequence[int]) -> str:
    """A network's brackets: a to z, then aa, ab and so on.

    >>> bracket_letters((0, 1)), bracket_letters((26,))
    ('a,b', 'aa')
    """
    return ",".join(_letters(bracket) for bracket in brackets)


@cache
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
    if value >= _LARGEST_PLAIN_SCORE:
        return f"{value:.2e}"
    return str(int(value)) if value == int(value) else f"{value:.3f}"


def set_words(name: str) -> str:
    """A data set's name in words."""
    return name.replace("_", " ")


def _name(name: str | None) -> Cell:
    return Cell(name or DASH, key=name.casefold() if name else None)


def _figure(value: float | None, digits: int, rank: int | None = None) -> Cell:
    return Cell(number(value, digits), rank, value)


def counts(ranking: Ranking) -> list[Metric]:
    """Every metric of the challenge but runtime."""
    return [metric for metric in metrics_of(ranking.tracks) if metric in COUNTS]


def _psnr_column(name: str) -> Column[Row]:
    def cell(row: Row) -> Cell:
        return Cell("∞") if name in row.entry.identical else _figure(row.entry.figures.psnr_rgb.get(name), 2)

    return Column(f"psnr_rgb_{name}", f"PSNR {set_words(name)}", cell, better="high")


def _runtime_columns(ranking: Ranking) -> list[Column[Row]]:
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
        Column("runtime_ms", "ms", runtime_ms, better="low"),
        Column("ratio", f"ratio to {ranking.baseline}", ratio, better="low"),
        Column("rank_interval", "rank range", ranks),
    ]


def _metric_column(metric: Metric) -> Column[Row]:
    def cell(row: Row) -> Cell:
        value = row.entry.figures.metric(metric)
        return Cell(count(metric, value, row.entry.without_formula), row.ranks.get(metric), value)

    return Column(metric, COUNTS[metric].header, cell, better="low", unit=COUNTS[metric].unit)


def _rank_column(metric: Metric) -> Column[Row]:
    words = COUNTS[metric].words if metric in COUNTS else metric
    return Column(f"rank_{metric}", f"rank by {words}", lambda row: _figure(row.ranks.get(metric), 0))


def _track_column(track: Track) -> Column[Row]:
    def cell(row: Row) -> Cell:
        place = row.places.get(track.key)
        return Cell(DASH) if place is None else Cell(score(place.score), place.rank, place.score)

    return Column(track.key, track.key, cell, better="low")


def _beside(own: float | None, other: float | None, digits: int, unit: float = 1) -> Cell:
    return Cell(f"{number(own, digits, unit)} ({number(other, digits, unit)})", key=own)


def _rank_beside(row: Row) -> Cell:
    return _beside(row.ranks.get("runtime"), row.entry.published_ranks.get("runtime"), 0)


def _claim_on(row: Row, data: str) -> float | None:
    """The PSNR that is claimed on a data set, however its name is spelled."""
    claimed = row.entry.claims.psnr_rgb if row.entry.claims else {}
    return {set_key(name): value for name, value in claimed.items()}.get(set_key(data))


def _claimed_psnr(data: str) -> Column[Row]:
    def cell(row: Row) -> Cell:
        return _beside(row.entry.figures.psnr_rgb.get(data), _claim_on(row, data), 2)

    return Column(f"psnr_rgb_{data}", f"PSNR {set_words(data)}", cell)


def _claimed_column(field: str, header: str, digits: int, unit: float) -> Column[Row]:
    def cell(row: Row) -> Cell:
        return _beside(getattr(row.entry.figures, field), getattr(row.entry.claims, field), digits, unit)

    return Column(field, header, cell)


def _column_beside(key: str, header: str, metric: Metric, digits: int, unit: float = 1) -> Column[Row]:
    def cell(row: Row) -> Cell:
        printed = row.entry.published or Figures()
        return _beside(row.entry.figures.metric(metric), printed.metric(metric), digits, unit)

    return Column(key, header, cell)
