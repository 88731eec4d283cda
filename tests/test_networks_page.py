"""docs/networks.md says what the networks are."""

import re

from networks_page import NETWORKS, OFF, PAGE, ratio, with_tables

TEXT = PAGE.read_text(encoding="utf-8")


def test_the_tables_are_what_the_networks_give() -> None:
    assert with_tables(TEXT) == TEXT, "run: python tests/networks_page.py"


def test_at_least_36_networks_need_the_published_memory() -> None:
    assert sum(abs(ratio(name) - 1) <= 0.02 for name in NETWORKS) >= 36


def test_each_exception_is_explained() -> None:
    explained = TEXT.partition("| network | why not |")[2].partition("## Export")[0]
    names = {name for row in re.findall(r"^\| ([a-z_, ]+) \|", explained, re.M) for name in row.split(", ")}
    assert names == OFF
