"""A ranking as one HTML file that needs nothing else: no network, no folder beside it.

jinja2 renders with autoescape; Plotly, which draws the charts, is inlined. Whatever a record holds is data: in the page
it is escaped text, in scripts it is JSON that cannot end them, and the page's policy runs only scripts from here.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from types import MappingProxyType

import msgspec

from esr.ranking.structures import Ranking, Row
from esr.records.document import Document
from esr.records.reasons import STATUSES
from esr.report import data, table
from esr.report.html import marks
from esr.report.html.chart import MOST_BUBBLES, chart, correlations
from esr.report.html.crops import Pool
from esr.report.html.details import details
from esr.report.html.origin import Origin, origin_lines
from esr.report.table import Cell, Column, Grid

SCRIPTS = ("page.js", "state.js", "table.js", "filter.js", "chart.js", "compare.js", "crops.js", "network.js")
"""In the order in which they need one another."""
FIRST_ROWS = 200
"""Rows that a table shows until all are asked for: laying out thousands of cells takes long."""
_TAGS = ("ranked", "not ranked", "baseline", *STATUSES)
"""In the order of the page's head."""
_ESCAPES = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}


def render(
    ranking: Ranking, documents: Mapping[str, Document] = MappingProxyType({}), origin: Origin | None = None
) -> str:
    """The whole report as HTML.

    Args:
        ranking: The ranking to show.
        documents: Records by `Entry.path`, for what the ranking does not hold: images, telemetry and machine. The row
            of a network without one stands, without them.
        origin: Time and command for the page's head.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - only this format renders
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - only this format draws

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.loader = PackageLoader("esr.report.html")
    scripts = [get_plotlyjs(), *map(_asset, SCRIPTS)]
    pool = Pool()
    grid = _with_status(table.ranking_grid(ranking))
    networks = [details(row, cells, ranking, documents, pool) for row, cells in grid.lines]
    return environment.get_template("report.html.j2").render(
        ranking=ranking,
        grid=grid,
        leaders=table.leaders(grid),
        spans=marks.spans(ranking),
        subscripted={column.key for _, line in grid.lines for column, cell in line if cell.rank is not None},
        origin=origin_lines(origin, ranking, documents),
        tables=table,
        tallies=_tallies(ranking),
        indices={row.entry.key: index for index, row in enumerate(ranking.rows)},
        marks=marks,
        first_rows=FIRST_ROWS,
        most_bubbles=MOST_BUBBLES,
        data={
            "chart-data": script_json(chart(ranking)),
            "correlation-data": script_json(correlations(ranking)),
            "csv-data": script_json(data.csv_lines(ranking)),
            "ranking-data": data.to_json(ranking).translate(_ESCAPES),
        },
        networks=[script_json(network) for network in networks],
        images=pool.uris,
        policy=_policy(scripts),
        style=_asset("report.css"),
        scripts=scripts,
    )


def script_json(value: object) -> str:
    r"""JSON for a script element: no character in it ends the element or a line of JavaScript.

    >>> script_json({"team": "</script>"})
    '{"team":"\\u003c/script\\u003e"}'
    """
    return msgspec.json.encode(value).decode().translate(_ESCAPES)


def _policy(scripts: Sequence[str]) -> str:
    """Content-Security-Policy: these scripts, images inside the file, and nothing from anywhere."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    return (resources.files("esr.report.html") / "templates" / name).read_text(encoding="utf-8")


def _with_status(grid: Grid[Row]) -> Grid[Row]:
    """The table with the words of each network's status beside its name."""
    status: Column[Row] = Column("status", "status", lambda row: Cell(", ".join(marks.tags(row))), left=True)
    after = 1 + [column.key for column in grid.columns].index("network")
    return replace(grid, columns=[*grid.columns[:after], status, *grid.columns[after:]])


def _tallies(ranking: Ranking) -> dict[str, int]:
    """Numbers of networks by tag; each row counts, so that they are the table's."""
    counted = Counter(tag for row in ranking.rows for tag in marks.tags(row))
    return {tag: counted[tag] for tag in _TAGS if counted[tag]}
