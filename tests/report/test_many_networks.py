"""A report of thousands of networks stays a page that opens: the chart is thinned, the table holds all."""

import json
import re

import pytest
from msgspec.structs import replace

from esr.ranking.challenge import load_challenge
from esr.ranking.published import published_entries
from esr.ranking.table import rank_entries
from esr.report import html
from esr.report.html.chart import MOST_BUBBLES


@pytest.fixture(scope="module")
def page():
    challenge = load_challenge("ntire2022")
    (one, *_) = published_entries(challenge)
    many = [replace(one, key=f"net{number:04}", reference=False) for number in range(MOST_BUBBLES + 500)]
    return html.render(rank_entries([replace(one, key="base", reference=True), *many], challenge))


def test_the_chart_holds_the_first_networks_and_the_baseline_and_says_so(page):
    chart = json.loads(re.search(r'id="chart-data">(.*?)</script>', page).group(1))
    networks = chart["networks"]
    assert len(networks) == MOST_BUBBLES + 1
    assert (networks[0]["key"], networks[0]["kind"], networks[0]["index"]) == ("net0000", "ranked", 0)
    assert (networks[-1]["key"], networks[-1]["kind"]) == ("base", "baseline")
    assert f'<tr data-index="{networks[-1]["index"]}" data-words="base ' in page
    assert all(len(axis["values"]) == MOST_BUBBLES + 1 for axis in (*chart["x"], *chart["y"]))
    assert f"Shown: the baselines and the first {MOST_BUBBLES} of {MOST_BUBBLES + 501} networks" in page


def test_the_table_holds_every_network_and_shows_the_first(page):
    rows = re.findall(r"<tr data-index=[^>]*>", page)
    assert len(rows) == MOST_BUBBLES + 501
    assert sum(row.endswith(" hidden>") for row in rows) == MOST_BUBBLES + 501 - html.FIRST_ROWS
