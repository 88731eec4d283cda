"""docs/networks.md says what the networks are."""

import sys

import pytest
from helpers.networks_page import NETWORKS, PAGE, with_table
from hydra.utils import get_class

TEXT = PAGE.read_text(encoding="utf-8")


def test_the_table_is_what_the_networks_give() -> None:
    assert with_table(TEXT) == TEXT, "run: python tests/helpers/networks_page.py"


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_s_file_names_its_team_and_no_rank(name: str) -> None:
    model = NETWORKS[name]
    words = " ".join((sys.modules[get_class(model._target_).__module__].__doc__ or "").split())
    if not (model.published.get("ranks") or {}).get("main"):
        assert "not ranked" in words.lower()
    assert "track" not in words
    if (model.team_id or 0) > 0:
        assert str(model.team) in words


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_s_class_is_named_as_its_file(name: str) -> None:
    folder, _, cls = NETWORKS[name]._target_.rpartition(".")
    file = folder.rpartition(".")[2]
    assert cls.lower() == file.replace("_", "")
    assert file == name or NETWORKS[file].team_id in (-1, 0)
