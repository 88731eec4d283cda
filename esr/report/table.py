"""The ranking's table, cell by cell, whatever it is printed on: every format draws what stands here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from esr.ranking import Interval, Metric, Ranking, Row, Track
from esr.report.wording import number

Text = str
DASH = "–"

METRIC_WORDS: dict[Metric, str] = {
    "runtime": "runtime",
    "params": "params",
    "flops": "FLOPs (challenge)",
    "macs": "MACs (dispatcher)",
    "activations": "activations",
    "memory": "memory",
}
_COUNTS: tuple[tuple[Metric, str, float, int], ...] = (
    ("params", "params [M]", 1e6, 3),
    ("flops", "FLOPs [G]", 1e9, 2),
    ("macs", "MACs [G]", 1e9, 2),
    ("activations", "acts [M]", 1e6, 2),
    ("memory", "mem [MiB]", 1, 1),
)
_MOST_WHOLE = 1e6
"""Scores above this are printed with an exponent."""


@dataclass(frozen=True)
class Cell:
    """One figure."""

    text: Text
    rank: int | None = None
    """Printed as a subscript."""


@dataclass(frozen=True)
class Column:
    """One column of the table."""

    key: str
    header: str
    cell: Callable[[Row], Cell]
    left: bool = False
    """Text, not a figure."""


@dataclass(frozen=True)
class Footnotes:
    """Sentences under the table, and who they concern."""

    numbered: tuple[str, ...]
    marks: dict[str, tuple[int, ...]]
    """Entry's key -> numbers, from 1."""
    general: tuple[str, ...]


def columns(ranking: Ranking) -> list[Column]:
    """The columns that hold anything, in the paper's order."""
    first = ranking.tracks[0].key
    teams = any(row.entry.team and row.entry.team != row.entry.key for row in ranking.rows)
    candidates = [
        Column("place", "#", lambda row: Cell(_whole(_place_rank(row, first)))),
        Column("network", "network", lambda row: Cell(row.entry.key), left=True),
        *([Column("team", "team", lambda row: Cell(row.entry.team or DASH), left=True)] if teams else []),
        *_quality_columns(ranking),
        *_runtime_columns(ranking),
        *(_count_column(*count) for count in _COUNTS),
        Column("convolutions", "convs", lambda row: Cell(_whole(row.entry.figures.convolutions))),
        Column("energy", "energy [mJ]", lambda row: Cell(number(row.entry.figures.energy_mj, 1))),
        *(_track_column(track) for track in ranking.tracks if len(track.ranks) != 1),
    ]
    return [
        column
        for column in candidates
        if any(column.cell(row).text not in (DASH, "") for row in ranking.rows)
    ]


def footnotes(ranking: Ranking) -> Footnotes:
    """Every sentence once, numbered in the order of the table."""
    numbers: dict[str, int] = {}
    marks = {
        row.entry.key: tuple(numbers.setdefault(note, len(numbers) + 1) for note in row.notes)
        for row in ranking.rows
        if row.notes
    }
    return Footnotes(tuple(numbers), marks, ranking.notes)


def title(ranking: Ranking) -> str:
    """What the table shows, and under what conditions."""
    how = "published figures" if ranking.source == "published" else "measured"
    return f"{ranking.title}: {', '.join((how, *ranking.conditions))}"


def published_columns(ranking: Ranking) -> list[Column]:
    """A second table: what the challenge's table printed beside what was measured; empty where it printed nothing."""
    if ranking.source == "published" or not any(row.entry.published for row in ranking.rows):
        return []
    rank = Column("rank", "rank by runtime", _rank_beside)
    ratio = Column("ratio", f"ratio to {ranking.baseline}", _beside("runtime", 1, 3))
    counts = [
        Column(metric, header, _beside(metric, unit, digits))
        for metric, header, unit, digits in _COUNTS
        if metric != "macs"
    ]
    network = Column("network", "network", lambda row: Cell(row.entry.key), left=True)
    return [network, rank, ratio, *counts]


PUBLISHED_TITLE = "Measured, and published in parentheses"


def published_rows(ranking: Ranking) -> list[Row]:
    """The rows of that second table."""
    return [row for row in ranking.rows if row.entry.published]


def correlation_rows(ranking: Ranking) -> list[tuple[str, str, str]]:
    """Metric, Spearman's rho and Kendall's tau of runtime with it."""
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
    """Networks that the challenge's FLOPs and the dispatcher's MACs place differently, and why."""
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
    """An interval to stand after its figure; nothing where there is none."""
    return f" [{interval.low:.{digits}f}, {interval.high:.{digits}f}]" if interval else ""


def bracket_letters(brackets: Sequence[int]) -> str:
    """The brackets of a network: a to z, then aa, ab and so on.

    >>> bracket_letters((0, 1)), bracket_letters((26,))
    ('a,b', 'aa')
    """
    return ",".join(_letters(bracket) for bracket in brackets)


def _letters(bracket: int) -> str:
    higher, letter = divmod(bracket, 26)
    return (_letters(higher - 1) if higher else "") + chr(ord("a") + letter)


def rank_interval(row: Row) -> str:
    """`1–3 a`: the ranks that the measurements allow, and the brackets."""
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
    return f"{value:.3f}" if value < _MOST_WHOLE else f"{value:.2e}"


def _whole(value: float | None) -> str:
    return number(value, 0)


def _place_rank(row: Row, track: str) -> int | None:
    return row.places[track].rank if row.ranked else None


def _quality_columns(ranking: Ranking) -> list[Column]:
    names = dict.fromkeys(name for row in ranking.rows for name in row.entry.figures.psnr)

    def column(name: str) -> Column:
        header = f"PSNR {name.replace('_', ' ')}"
        return Column(f"psnr_{name}", header, lambda row: Cell(number(row.entry.figures.psnr.get(name), 2)))

    return [column(name) for name in names]


def _runtime_columns(ranking: Ranking) -> list[Column]:
    """The rank stands at what was ranked: the ratio where it was measured, the milliseconds where they were printed."""
    printed = ranking.source == "published"

    def ms(row: Row) -> Cell:
        return Cell(number(row.entry.figures.runtime_ms, 2), row.ranks.get("runtime") if printed else None)

    def ratio(row: Row) -> Cell:
        figures = row.entry.figures
        text = number(figures.ratio, 3) + bounds(figures.ratio_interval, 3)
        return Cell(text, None if printed else row.ranks.get("runtime"))

    return [
        Column("runtime_ms", "ms", ms),
        Column("ratio", f"ratio to {ranking.baseline}", ratio),
        Column("rank_interval", "ranks", lambda row: Cell(rank_interval(row))),
    ]


def _count_column(metric: Metric, header: str, unit: float, digits: int) -> Column:
    def cell(row: Row) -> Cell:
        text = _in_unit(row.entry.figures.metric(metric), unit, digits)
        least = "≥ " if metric == "macs" and row.entry.without_formula else ""
        return Cell(least + text, row.ranks.get(metric))

    return Column(metric, header, cell)


def _in_unit(value: float | None, unit: float, digits: int) -> str:
    return number(None if value is None else value / unit, digits)


def _track_column(track: Track) -> Column:
    def cell(row: Row) -> Cell:
        place = row.places.get(track.key)
        return Cell(DASH) if place is None else Cell(score(place.score), place.rank)

    return Column(track.key, track.key, cell)


def _rank_beside(row: Row) -> Cell:
    return Cell(f"{_whole(row.ranks.get('runtime'))} ({_whole(row.entry.published_ranks.get('runtime'))})")


def _beside(metric: Metric, unit: float, digits: int) -> Callable[[Row], Cell]:
    def cell(row: Row) -> Cell:
        printed = row.entry.published.metric(metric) if row.entry.published else None
        measured = _in_unit(row.entry.figures.metric(metric), unit, digits)
        return Cell(f"{measured} ({_in_unit(printed, unit, digits)})")

    return cell
