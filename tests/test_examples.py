"""The programs of `examples/` run, on small images."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import rankings
from helpers.forked import run_program

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
QUICK = ("timing=quick", "timing.max_seconds=5", "device=cpu", "telemetry=off", "weights=random")


def run(folder: Path, *command: str, **environment: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, "ESR_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_participant_learns_which_of_two_variants_is_faster(participant):
    (participant / "wide.yaml").write_text("_target_: tiny.Tiny\nargs: {channels: 16}\n")
    words = [str(EXAMPLES / "participant.py"), "tiny.yaml", "wide.yaml", "images", *QUICK, "baseline_weights=random"]
    done = run_program(f"import runpy, sys; sys.argv = {words!r}; runpy.run_path(sys.argv[0])", participant)
    assert done.code == 0, done.err
    first, _, second, _ = done.out.splitlines()
    assert first.startswith("wide beside tiny: ratio ")
    assert second.startswith("wide beside imdn: ratio ")
    assert (participant / "variants" / "record.json").is_file()


@pytest.mark.slow
def test_an_organisers_night_ends_in_tables(participant):
    folder = participant / "submissions" / "red"
    folder.mkdir(parents=True)
    shutil.copy(participant / "tiny.py", folder)
    (folder / "model.yaml").write_text("_target_: tiny.Tiny\nname: red\n")
    words = ("data=folder", "data.root=images", "baseline=tiny.yaml", "baseline_weights=random", "sandbox=auto", *QUICK)
    night = ("sh", str(EXAMPLES / "organiser.sh"), "submissions", "night", *words)
    run(participant, *night, CHALLENGE="ntire2022")
    table = (participant / "night" / "ranking.markdown").read_text(encoding="utf-8")
    assert "red" in table
    assert "red" in (participant / "night" / "intake.md").read_text(encoding="utf-8")
    assert {file.suffix for file in (participant / "night").glob("ranking.*")} == {
        ".markdown",
        ".latex",
        ".csv",
        ".html",
    }


@pytest.mark.parametrize(("program", "script"), [("sh", "organiser.sh"), (sys.executable, "participant.py")])
def test_a_program_without_its_arguments_says_which_it_takes(program, script, tmp_path):
    words = [program, EXAMPLES / script, "one"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert re.search(rf"usage: \w+ {script} [A-Z]", done.stderr)
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_ends_a_program_in_one_line(participant):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for words, line in (
        (["sh", "organiser.sh", "nowhere", "night"], "esr: nowhere/*: no such folder; give folders with one"),
        ([sys.executable, "participant.py", "tiny.yaml", "tiny.yaml", "nowhere/"], "nowhere is not there; "),
    ):
        command = [words[0], EXAMPLES / words[1], *words[2:]]
        done = subprocess.run(
            command, cwd=participant, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
        )
        assert done.returncode != 0
        assert done.stderr.startswith(line)
        assert len(done.stderr.splitlines()) == 1


@pytest.fixture
def notebook(tmp_path):
    for name, ratio in (("rlfn", 0.5), ("fmen", 0.7)):
        rankings.write(rankings.document(name, ratio), tmp_path / "outputs" / name)
    return json.loads((EXAMPLES / "researcher.ipynb").read_text(encoding="utf-8"))


@pytest.mark.parametrize("place", [".", "examples"])
def test_the_researchers_notebook_recomputes_every_ratio(notebook, tmp_path, place):
    (tmp_path / place).mkdir(exist_ok=True)
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    out = run(tmp_path / place, sys.executable, "-c", "\n".join(cells))
    assert "rlfn         0.5" in out
    assert "0.300 M  clean" in out


def test_the_notebook_is_kept_without_output(notebook):
    assert (notebook["nbformat"], notebook["nbformat_minor"]) >= (4, 4)
    assert all(cell["outputs"] == [] for cell in notebook["cells"] if cell["cell_type"] == "code")
