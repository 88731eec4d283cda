"""A ranking as one HTML file that needs nothing else: no network, no folder beside it.

jinja2 renders with autoescape; Plotly, which draws the charts, is inlined. Whatever a record holds is data: in the page
it is escaped text, in scripts it is JSON that cannot end them, and the page's policy runs only scripts from here.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib import resources
from types import MappingProxyType

import msgspec

from esr.ranking import Ranking
from esr.records.document import Document
from esr.report import table
from esr.report.html import marks
from esr.report.html.chart import chart, correlations
from esr.report.html.crops import Pool
from esr.report.html.details import details

SCRIPTS = ("page.js", "table.js", "chart.js", "crops.js", "network.js")
"""In the order in which they need one another."""
FIRST_ROWS = 200
"""Rows that a table shows until all are asked for: laying out thousands of cells takes long."""
_ESCAPES = {ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"}


def render(ranking: Ranking, documents: Mapping[str, Document] = MappingProxyType({})) -> str:
    """The whole report as HTML.

    Args:
        ranking: The ranking to show.
        documents: Records by `Entry.path`, for what the ranking does not hold: images, telemetry and machine. The row
            of a network without one stands, without them.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - only this format renders
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - only this format draws

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.loader = PackageLoader("esr.report.html")
    scripts = [get_plotlyjs(), *map(_asset, SCRIPTS)]
    pool = Pool()
    grid = table.ranking_grid(ranking)
    networks = [details(row, cells, ranking, documents, pool) for row, cells in grid.lines]
    return environment.get_template("report.html.j2").render(
        ranking=ranking,
        grid=grid,
        tables=table,
        tallies=_tallies(ranking),
        indices={row.entry.key: index for index, row in enumerate(ranking.rows)},
        marks=marks,
        first_rows=FIRST_ROWS,
        data={"chart-data": script_json(chart(ranking)), "correlation-data": script_json(correlations(ranking))},
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


def _tallies(ranking: Ranking) -> list[tuple[int, str]]:
    """Numbers of networks, ranked, imprecise, tainted and failed; zeros are left out."""
    rows = [row for row in ranking.rows if not row.entry.reference]
    counts = (
        (len(rows), "network" if len(rows) == 1 else "networks"),
        (sum(row.ranked for row in rows), "ranked"),
        (sum(row.entry.verdict == "imprecise" for row in rows), "imprecise"),
        (sum(row.entry.verdict == "tainted" for row in rows), "tainted"),
        (sum(row.entry.failure is not None for row in rows), "failed"),
    )
    return [(count, word) for count, word in counts if count or word == "networks"]
