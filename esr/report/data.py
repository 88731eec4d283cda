"""A ranking for other programs: JSON with everything, CSV with one line per network."""

import csv
from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from esr.ranking.challenge import METRICS
from esr.ranking.structures import COUNT_FIELDS, Figures, Ranking, Row, field_of
from esr.report.table import bracket_letters, verdict
from esr.text import indented, shown_path

FORMAT = "esr-ranking"
VERSION = 2
_FORMULA = "=+-@|%\t\r\n\u2212\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\uff5c\uff05"
"""Characters that begin a formula, full-width and small ones, too: spreadsheets of East Asia read them alike."""
_FIGURES = ("runtime_ms", "ratio", *COUNT_FIELDS, "memory_mib", "energy_mj")
"""Fields of `Figures`, whose names hold the unit; counts and ratios have none."""
_PRINTED = ("runtime_ms", *(field_of(metric) for metric in METRICS if metric != "macs"))
"""Fields of a challenge's table."""
Tidy: TypeAlias = dict[str, object]
"""Column -> value of one network; `None`: not known, or does not apply."""


def to_json(ranking: Ranking) -> str:
    """`esr.ranking.structures.Ranking` field by field, with `format` and `version` in front."""
    document = {"format": FORMAT, "version": VERSION, **msgspec.to_builtins(ranking)}
    for row in document["rows"]:
        if path := row["entry"]["path"]:
            row["entry"]["path"] = shown_path(path)  # not every file name is UTF-8
    return f"{indented(document)}\n"


def to_csv(ranking: Ranking) -> str:
    """One line per network, unrounded, in base units; an empty field is not known or does not apply."""
    return "".join(csv_lines(ranking))


def csv_lines(ranking: Ranking) -> list[str]:
    """The header and each network's line, with its line break."""
    rows, lines = tidy(ranking), _Lines()
    writer = csv.writer(lines, lineterminator="\n")
    for values in (*rows[:1], *(row.values() for row in rows)):
        writer.writerow([_cell(one) if isinstance(one, str) else one for one in values])
    return lines


def tidy(ranking: Ranking) -> list[Tidy]:
    """One row per network with the same columns, unrounded, in base units; texts are as they stand in the records."""
    sets = dict.fromkeys(name for row in ranking.rows for name in row.entry.figures.psnr_rgb)
    return [_tidy(row, ranking, [*sets]) for row in ranking.rows]


def _tidy(row: Row, ranking: Ranking, sets: Sequence[str]) -> Tidy:
    entry, figures, ratio = row.entry, row.entry.figures, row.entry.figures.ratio_interval
    low, high = row.rank_interval or (None, None)
    found: Tidy = {"network": entry.key, "team": entry.team, "team_id": entry.team_id, "baseline": ranking.baseline}
    found |= {"ranked": row.ranked, "excluded": row.excluded, "status": verdict(entry)}
    for track in ranking.tracks:
        place = row.places.get(track.key)
        found[f"rank_{track.key}"] = place.rank if place else None
        found[f"score_{track.key}"] = _plain(place.score if place else None, whole=not track.weights)
    found |= {f"rank_{metric}": row.ranks.get(metric) for metric in METRICS}
    found |= {"rank_runtime_low": low, "rank_runtime_high": high, "brackets": bracket_letters(row.brackets) or None}
    found |= {f"psnr_rgb_{name}_db": figures.psnr_rgb.get(name) for name in sets}
    found |= _figures("", figures, _FIGURES)
    found |= {"ratio_low": ratio.low if ratio else None, "ratio_high": ratio.high if ratio else None}
    if ranking.source == "measured":
        found |= _figures("published_", entry.published, _PRINTED)
        found |= _figures("claimed_", entry.claims, _PRINTED)
        found |= {"device": entry.device, "torch": entry.torch}
    return found | {"notes": "; ".join(row.notes) or None, "record": shown_path(entry.path) if entry.path else None}


def _figures(prefix: str, figures: Figures | None, names: Sequence[str]) -> Tidy:
    return {prefix + name: figures and _plain(getattr(figures, name), whole=name in COUNT_FIELDS) for name in names}


def _plain(value: float | None, whole: bool) -> float | None:
    """An integer where the figure is one by nature; scores of metrics are fractions or whole as the metric is."""
    return int(value) if whole and value is not None and value == int(value) else value


class _Lines(list[str]):
    """Lines as they are written."""

    write = list[str].append


def _cell(text: str) -> str:
    """A stranger's text that no spreadsheet reads as a formula.

    >>> _cell("=1+1"), _cell("rlfn")
    ("'=1+1", 'rlfn')
    """
    return f"'{text}" if text[:1] in _FORMULA and text else text
