"""Marks of a row, by which the page's scripts and styles tell networks apart."""

import math
from typing import NamedTuple

from esr.ranking.structures import Ranking, Row
from esr.report.table import verdict


class Span(NamedTuple):
    """An interval drawn in a cell, in percent of the cell's width."""

    start: float
    width: float
    at: float
    """The estimate."""


def flag(row: Row) -> str | None:
    """`imprecise`, `tainted`, `failed`, or `None` where the record is clean."""
    return None if row.entry.verdict == "clean" else row.entry.verdict


def kind(row: Row) -> str:
    """`ranked`, `unranked` or `baseline`."""
    return "baseline" if row.entry.reference else "ranked" if row.ranked else "unranked"


def tags(row: Row) -> list[str]:
    """Words of the row's status, which the filter finds: `baseline`, `ranked` or `not ranked`, and its verdict."""
    if row.entry.reference:
        return ["baseline"]
    found = verdict(row.entry)
    return ["ranked" if row.ranked else "not ranked", *([found] if found else [])]


def words(row: Row) -> str:
    """Text that the filter searches, in lower case."""
    entry = row.entry
    return " ".join((entry.key, entry.title, entry.team or "", *tags(row))).lower()


def spans(ranking: Ranking) -> dict[str, Span]:
    """Intervals of the ratios by network, on one logarithmic scale that spans those of the ranked networks."""
    known = [(row, row.entry.figures.ratio, row.entry.figures.ratio_interval) for row in ranking.rows]
    drawn = [(row, ratio, interval) for row, ratio, interval in known if ratio and interval]
    if not drawn:
        return {}
    scale = [interval for row, _, interval in drawn if row.ranked] or [interval for _, _, interval in drawn]
    lowest = math.log(min(interval.low for interval in scale))
    whole = math.log(max(interval.high for interval in scale)) - lowest or 1.0

    def place(value: float) -> float:
        return round(min(max(100 * (math.log(value) - lowest) / whole, 0), 100), 2)

    return {
        row.entry.key: Span(place(interval.low), round(place(interval.high) - place(interval.low), 2), place(ratio))
        for row, ratio, interval in drawn
    }
