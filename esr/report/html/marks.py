"""Marks of a row, by which the page's scripts and styles tell networks apart."""

from esr.ranking import Row


def flag(row: Row) -> str | None:
    """`imprecise`, `tainted`, `failed`, or `None` where the record is clean."""
    return None if row.entry.verdict == "clean" else row.entry.verdict


def kind(row: Row) -> str:
    """`ranked`, `unranked` or `baseline`."""
    return "baseline" if row.entry.reference else "ranked" if row.ranked else "unranked"


def words(row: Row) -> str:
    """Text that the filter searches, in lower case."""
    entry = row.entry
    return " ".join((entry.key, entry.title, entry.team or "", entry.verdict, kind(row))).lower()
