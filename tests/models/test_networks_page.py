"""docs/networks.md says what the networks are."""

import re
import sys

import pytest
from helpers.networks_page import NETWORKS, OFF, PAGE, ratio, with_tables
from hydra.utils import get_class

TEXT = PAGE.read_text(encoding="utf-8")


def test_the_tables_are_what_the_networks_give() -> None:
    assert with_tables(TEXT) == TEXT, "run: python tests/helpers/networks_page.py"


def test_at_least_36_networks_need_the_published_memory() -> None:
    assert sum(abs(ratio(name) - 1) <= 0.02 for name in NETWORKS) >= 36


def test_each_exception_is_explained() -> None:
    explained = TEXT.partition("| network | why not |")[2].partition("\n## ")[0]
    names = {name for row in re.findall(r"^\| ([a-z_, ]+) \|", explained, re.M) for name in row.split(", ")}
    assert names == OFF


def ordinal(rank: int) -> str:
    ending = "th" if rank in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(rank % 10, "th")
    return f"{rank}{ending}"


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_s_file_names_its_team_and_places(name: str) -> None:
    model = NETWORKS[name]
    words = " ".join((sys.modules[get_class(model._target_).__module__].__doc__ or "").split())
    ranks = model.published.get("ranks") or {}
    if not ranks.get("main"):
        assert "not ranked" in words.lower()
    else:
        places = [ordinal(ranks[track]) for track in ("main", "sub1", "sub2")]
        assert all(place in words for place in places)
    if (model.team_id or 0) > 0:
        assert str(model.team) in words
