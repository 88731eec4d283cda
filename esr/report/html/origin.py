"""The page's own origin: when and by which command it was made, and when, where and by which version was measured."""

from collections.abc import Mapping
from datetime import datetime, timezone

import msgspec

import esr
from esr.ranking.structures import Ranking
from esr.records.document import Document
from esr.text import listed, one_line


class Origin(msgspec.Struct, frozen=True):
    """The making of a page."""

    made: datetime
    command: str


def origin_lines(origin: Origin | None, ranking: Ranking, documents: Mapping[str, Document]) -> list[tuple[str, str]]:
    """Labels and values for the page's head."""
    lines = []
    if origin:
        made = origin.made.astimezone(timezone.utc)
        lines += [("command", one_line(origin.command)), ("made", f"{made:%Y-%m-%d %H:%M} UTC, esr {esr.__version__}")]
    paths = [row.entry.path for row in ranking.rows if row.entry.path]
    shown = [documents[path] for path in paths if path in documents]
    if shown:
        ended = sorted(f"{document.ended.astimezone(timezone.utc):%Y-%m-%d}" for document in shown)
        days = ended[0] if ended[0] == ended[-1] else f"{ended[0]} to {ended[-1]}"
        versions = dict.fromkeys(document.environment.esr.version for document in shown)
        lines.append(("measured", f"{days}, esr {listed(versions)}"))
    if devices := dict.fromkeys(row.entry.device for row in ranking.rows if row.entry.device):
        torch = dict.fromkeys(row.entry.torch for row in ranking.rows if row.entry.torch)
        lines.append(("machine", ", ".join([*map(one_line, devices), *(f"torch {one_line(one)}" for one in torch)])))
    return lines
