"""A ranking for other programs: JSON with everything, CSV with one line per network."""

import csv
import io

import msgspec

from esr.ranking import METRICS, Figures, Ranking, Row
from esr.report.table import bracket_letters
from esr.text import shown_path

FORMAT = "esr-ranking"
VERSION = 2
_FIGURES = ("params", "flops", "flops_fvcore", "macs", "activations", "memory_mib", "convolutions", "energy_mj")


def to_json(ranking: Ranking) -> str:
    """`esr.ranking.structures.Ranking` field by field, with `format` and `version` in front."""
    document = {"format": FORMAT, "version": VERSION, **msgspec.to_builtins(ranking)}
    for row in document["rows"]:
        if path := row["entry"]["path"]:
            row["entry"]["path"] = shown_path(path)  # not every file name is UTF-8
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"


def to_csv(ranking: Ranking) -> str:
    """One line per network, unrounded, in base units; an empty field is not known or does not apply."""
    out = io.StringIO()
    lines = [_line(row, ranking) for row in ranking.rows]
    header = dict.fromkeys(key for line in lines for key in line)
    writer = csv.DictWriter(out, list(header), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return out.getvalue()


def _line(row: Row, ranking: Ranking) -> dict[str, object]:
    entry, figures, ratio = row.entry, row.entry.figures, row.entry.figures.ratio_interval
    low, high = row.rank_interval or (None, None)
    line: dict[str, object] = {
        "network": _cell(entry.key),
        "team": _cell(entry.team or ""),
        "team_id": entry.team_id,
        "ranked": row.ranked,
        "excluded": _cell(row.excluded or ""),
    }
    for track in ranking.tracks:
        place = row.places.get(track.key)
        line[f"rank_{track.key}"] = place.rank if place else None
        line[f"score_{track.key}"] = place.score if place else None
    line |= {f"rank_{metric}": row.ranks.get(metric) for metric in METRICS}
    line |= {"rank_runtime_low": low, "rank_runtime_high": high, "brackets": bracket_letters(row.brackets)}
    line |= {f"psnr_rgb_{_cell(name)}": value for name, value in figures.psnr_rgb.items()}
    line |= {"runtime_ms": figures.runtime_ms, "ratio": figures.ratio}
    line |= {"ratio_low": ratio.low if ratio else None, "ratio_high": ratio.high if ratio else None}
    line |= {name: getattr(figures, name) for name in _FIGURES}
    if ranking.source == "measured":
        published = entry.published or Figures()
        line |= {f"published_{metric}": published.metric(metric) for metric in METRICS if metric != "macs"}
    record = _cell(shown_path(entry.path)) if entry.path else None
    return line | {"status": entry.verdict, "notes": _cell("; ".join(row.notes)), "record": record}


def _cell(text: str) -> str:
    """A stranger's text that no spreadsheet reads as a formula.

    >>> _cell("=1+1"), _cell("rlfn")
    ("'=1+1", 'rlfn')
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
