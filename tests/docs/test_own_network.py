"""The worked example of an own network runs as written."""

import re
import subprocess
import sys

import pytest
from helpers.paths import ROOT

PAGE = ROOT / "docs" / "own-network.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture
def example(tmp_path, participant):
    """The worked example, copied from the page."""
    network, weights, _ = blocks("python")
    (tmp_path / "my_network.py").write_text(network)
    (tmp_path / "my_network.yaml").write_text(blocks("yaml")[0])
    subprocess.run([sys.executable, "-c", weights], cwd=tmp_path, check=True)
    return participant


@pytest.mark.parametrize("number", [0, 2])
def test_the_worked_example_of_an_own_network_runs_as_written(run_esr, example, number):
    words = blocks("sh")[number].split()
    assert words[0] == "esr"
    quick = ["baseline_weights=random", "data=folder", "data.root=images", "timing=quick", "device=cpu"]
    run = run_esr(*words[1:], *quick, cwd=example)
    assert run.code == 0, run.err
    assert "my_weights.pth" in run.records[0].read_text()


def test_the_example_from_python_runs_as_written(example):
    program = blocks("python")[2]
    run = subprocess.run([sys.executable, "-c", program], cwd=example, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("<Record MyNetwork beside imdn: ")
    assert (example / "results" / "record.json").is_file()
