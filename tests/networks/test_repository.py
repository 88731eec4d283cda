"""Networks of a challenge's repository, each in a process of its own that does what a worker does."""

import json
import sys
import types
from pathlib import Path

import pytest
from helpers.challenge_repository import NETWORKS, make_repository
from helpers.paths import ROOT

from esr.config.repository import read_layout
from esr.errors import NetworkError
from esr.networks.repository.stand_ins import Absent

sys.path.insert(0, str(ROOT / "benchmarks"))

import challenge_repositories


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("challenge") / "NTIRE2031_ESR")


@pytest.fixture(scope="module")
def results(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict]:
    file = tmp_path_factory.mktemp("results") / "results.jsonl"
    out = file.with_suffix(".md")
    assert challenge_repositories.main([str(repository), "--brief", "--jsonl", str(file), "--out", str(out)]) == 0
    assert f"of {len(NETWORKS)} networks run" in out.read_text()
    return {one["id"]: one for one in map(json.loads, file.read_text().splitlines())}


def test_every_network_but_an_empty_branch_is_tried(results: dict[int, dict]) -> None:
    assert sorted(results) == NETWORKS


@pytest.mark.parametrize("number", sorted(set(NETWORKS) - {9, 11, 19, 20}))
def test_unmodified_networks_run(results: dict[int, dict], number: int) -> None:
    assert results[number]["outcome"] == ""
    assert results[number]["counts"]["convolutions"] == 2
    assert results[number]["counts"]["params"] == 3 * 8 * 9 + 8 + 8 * 48 * 9 + 48


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (9, "needs the package a_package_that_nobody_has: pip install a_package_that_nobody_has"),
        (11, "needs the package thop (thop.profile is used): pip install thop"),
        (19, "and a weight file holds more (GLOBAL getattr): torch.save its state_dict"),
        (20, "RuntimeError: no kernel for this \N{REPLACEMENT CHARACTER}[2J device"),
    ],
)
def test_the_true_reason_is_named_in_one_line(results: dict[int, dict], number: int, reason: str) -> None:
    outcome = results[number]["outcome"]
    assert reason in outcome
    assert f"id={number} of NTIRE2031_ESR" in outcome
    assert "\n" not in outcome
    assert "has no attribute" not in outcome


def test_passes_made_while_loading_are_counted(results: dict[int, dict]) -> None:
    assert {number: results[number]["passes"] for number in (0, 4, 5, 6, 11 - 1)} == {0: 0, 4: 1, 5: 3, 6: 2, 10: 0}


def test_weights_are_loaded_the_scripts_way_and_described(results: dict[int, dict]) -> None:
    assert (results[1]["strict"], results[1]["missing"]) == (True, 0)
    assert [results[2][key] for key in ("strict", "missing", "unexpected")] == [False, 1, 1]
    assert results[16]["unexpected"] == 0
    assert "random" in results[12]["weights"]
    assert "team12.pth" in results[12]["weights"]


def test_ranges_windows_precision_and_chance_are_found(results: dict[int, dict]) -> None:
    assert results[7]["data_range"] == 255.0
    assert results[0]["data_range"] == 1.0
    assert results[8]["padded_to"] == 4
    assert results[0]["padded_to"] is None
    assert results[14]["precisions"] == ["float16"]
    assert results[15]["settings"] == ["benchmark"]
    assert [number for number in results if results[number]["random"]] == [13]


def test_only_unused_imports_get_stand_ins(results: dict[int, dict]) -> None:
    assert {"fvcore", "absent_plotting_library", "another_absent_one"} <= set(results[0]["stand_ins"])
    assert "cv2" not in results[0]["stand_ins"]


def test_nothing_is_executed_and_the_repository_stays_as_it_was(results: dict[int, dict], repository: Path) -> None:
    assert results
    assert not list(repository.rglob("executed"))
    assert not Path("executed").exists()
    assert not list(repository.rglob("*.pyc"))


@pytest.mark.parametrize("use", [lambda it: it(), list, bool, lambda it: types.new_class("Net", (it,))()])
def test_a_stand_in_fails_when_it_is_used(use: object) -> None:
    with pytest.raises(NetworkError, match="needs the package thop"):
        use(Absent("thop.profile"))  # type: ignore[operator]


def test_a_fork_that_passes_the_bare_id(tmp_path: Path) -> None:
    make_repository(tmp_path / "r")
    script = tmp_path / "r" / "test_demo.py"
    text = script.read_text().replace(
        "def select_model(args, device):\n    model_id = args.model_id", "def select_model(model_id, device):"
    )
    script.unlink()
    (tmp_path / "r" / "run_all.py").write_text(text)
    layout = read_layout(tmp_path / "r")
    assert layout.takes_id
    assert layout.script.name == "run_all.py"
    assert challenge_repositories._in_process(layout, 0, 60).outcome == ""
