"""A report of thousands of networks stays a page that opens: the chart is thinned, the table holds all."""

import json
import re

import pytest
from msgspec.structs import replace

from esr.ranking import load_challenge, published_entries, rank_entries
from esr.report import html
from esr.report.html.chart import MOST_BUBBLES


@pytest.fixture(scope="module")
def page():
    challenge = load_challenge("ntire2022")
    (one, *_) = published_entries(challenge)
    many = [replace(one, key=f"net{number:04}", reference=False) for number in range(MOST_BUBBLES + 500)]
    return html.render(rank_entries(many, challenge))


def test_the_chart_holds_the_first_networks_and_says_so(page):
    chart = json.loads(re.search(r'id="chart-data">(.*?)</script>', page).group(1))
    assert len(chart["networks"]) == MOST_BUBBLES
    assert all(len(axis["values"]) == MOST_BUBBLES for axis in (*chart["x"], *chart["y"]))
    assert f"Shown: the first {MOST_BUBBLES} of {MOST_BUBBLES + 500} networks" in page


def test_the_table_holds_every_network_and_shows_the_first(page):
    rows = re.findall(r"<tr data-index=[^>]*>", page)
    assert len(rows) == MOST_BUBBLES + 500
    assert sum(row.endswith(" hidden>") for row in rows) == MOST_BUBBLES + 500 - html.FIRST_ROWS
