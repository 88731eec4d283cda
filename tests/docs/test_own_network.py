"""The worked example of an own network runs as written."""

import re
import shutil

import pytest
from helpers.forked import run_program
from helpers.participants import make_participant
from helpers.paths import ROOT

PAGE = ROOT / "docs" / "own-network.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The worked example, copied from the page, beside a participant's images."""
    folder = make_participant(tmp_path_factory.mktemp("own"))
    network, weights, _ = blocks("python")
    (folder / "my_network.py").write_text(network)
    (folder / "my_network.yaml").write_text(blocks("yaml")[0])
    saved = run_program(weights, folder)
    assert saved.code == 0, saved.err
    return folder


@pytest.fixture
def example(written, tmp_path):
    """A copy of it."""
    return shutil.copytree(written, tmp_path / "example")


@pytest.mark.parametrize("number", [0, 2])
def test_the_worked_example_of_an_own_network_runs_as_written(run_esr, example, number):
    words = blocks("sh")[number].split()
    assert words[0] == "esr"
    quick = ["baseline_weights=random", "data=folder", "data.root=images", "timing=quick", "device=cpu"]
    run = run_esr(*words[1:], *quick, cwd=example)
    assert run.code == 0, run.err
    assert "my_weights.pth" in run.records[0].read_text()


def test_the_example_from_python_runs_as_written(example):
    run = run_program(blocks("python")[2], example)
    assert run.code == 0, run.err
    assert run.out.startswith("<Record MyNetwork beside imdn: ")
    assert (example / "results" / "record.json").is_file()
