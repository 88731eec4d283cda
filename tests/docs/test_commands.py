"""Every command that README and the other pages show is run as written, or says why not."""

import ast
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from helpers import rankings
from helpers.challenge_repository import make_repository
from helpers.documented import HERE, LATER, NEVER, PAGES, ROOT, Command, commands, unused_marks, words
from helpers.participants import NETWORK, make_participant

import esr

COMMANDS = [command for page in PAGES for command in commands(page)]
RUN_HERE = [command for command in COMMANDS if command.place == HERE]
LATE = [command for command in COMMANDS if command.place == LATER]
COMPARED = {0, 3, 4}
"""Exit codes of `esr compare`, each of which is an answer."""
LONG = pytest.mark.skipif(not os.environ.get("ESR_TEST_DOCS"), reason="make test-docs runs the evaluations")
SECONDS = float(os.environ.get("ESR_TEST_DOCS_SECONDS", "60"))
"""Time limit of one evaluation."""


def name(command: Command) -> str:
    return re.sub(r"[^\w=.-]+", "-", str(command))[:90]


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A user's folder with all that the pages speak of, on a small scale."""
    folder = tmp_path_factory.mktemp("documented")
    make_participant(folder)
    for network in ("my_network", "my_other_network"):
        shutil.copy(folder / "tiny.yaml", folder / f"{network}.yaml")
    (folder / "my_network.py").write_text(NETWORK.replace("Tiny", "MyNetwork"))
    for team in ("red", "blue"):
        submission = folder / "submissions" / team
        submission.mkdir(parents=True)
        (submission / "tiny.py").write_text(NETWORK)
        (submission / "LICENSE").write_text("MIT\n")
        (submission / "model.yaml").write_text(f"_target_: tiny.Tiny\nteam: {team}\ncheckpoint: {{file: tiny.pth}}\n")
        torch.save(_state(8), submission / "tiny.pth")
        shutil.copy(submission / "model.yaml", folder / "submissions" / f"{team}.yaml")
    shutil.copy(folder / "tiny.py", folder / "submissions")
    torch.save(_state(8), folder / "submissions" / "tiny.pth")
    torch.save(_state(32), folder / "my_weights.pth")
    _challenge(folder / "NTIRE2026_ESR")
    for place in ("outputs", "runs/multirun/latest", "runs/host", "runs/container"):
        for number, network in enumerate(("rlfn", "team07")):
            rankings.write(rankings.document(network, 0.5 + 0.1 * number), folder / place / network)
    rankings.write(rankings.document("fmen", 0.7), folder / "outputs" / "DAY" / "TIME")
    rankings.write(rankings.document("team07", 0.6), folder).rename(folder / "team07.json")
    for images in ("DIR", "data/set5"):
        shutil.copytree(folder / "images", folder / images)
    return folder


def _state(channels: int) -> dict[str, torch.Tensor]:
    """Weights of the participant's network."""
    shapes = {"features.weight": (channels, 3, 3, 3), "features.bias": (channels,)}
    shapes |= {"upsampler.0.weight": (48, channels, 3, 3), "upsampler.0.bias": (48,)}
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


def _challenge(folder: Path) -> None:
    """A challenge's repository in which one network has the number that the pages speak of."""
    make_repository(folder)
    script = folder / "test_demo.py"
    script.write_text(script.read_text().replace("model_id == 16:", "model_id == 22:"))
    (folder / "model_zoo" / "team16.pth").rename(folder / "model_zoo" / "team22.pth")


@pytest.fixture
def folder(template, tmp_path):
    shutil.copytree(template, tmp_path / "there")
    return tmp_path / "there"


@pytest.mark.parametrize("command", RUN_HERE, ids=name)
def test_a_command_runs_as_written(command, folder, run_esr):
    programs = words(command.line, folder)
    assert programs, f"{command}: name the place where it is run"
    for program, *arguments in programs:
        if program == "make":
            subprocess.run(["make", "--dry-run", *arguments], cwd=ROOT, check=True, capture_output=True)
            assert arguments == ["help"], f"{command}: name the place where it is run"
            continue
        assert program == "esr", f"{command}: name the place where it is run"
        assert arguments[0] in ("-h", "--help", "--version") or "=" not in arguments[0], f"{command}: make test-docs"
        run = run_esr(*arguments, cwd=folder)
        if run.code == 2 and "is not installed: pip install " in run.err:
            pytest.skip(run.err.strip())  # an extra that this environment lacks
        assert run.code in (COMPARED if arguments[0] == "compare" else {0}), f"{command}\n{run.err}"


@pytest.mark.parametrize("command", LATE, ids=name)
def test_an_evaluation_is_composed_as_written(command, folder, run_esr):
    for program, *arguments in words(command.line, folder):
        assert program == "esr", command
        if "=" not in arguments[0]:  # a multirun, or a subcommand that takes long
            continue
        run = run_esr(*arguments, "--cfg", "job", cwd=folder, env=_home(command, folder))
        assert run.code == 0, f"{command}\n{run.err}"


@LONG
@pytest.mark.parametrize("command", LATE, ids=name)
def test_an_evaluation_runs_as_written_on_small_images(command, folder, run_esr):
    environment = {"ESR_DATA": str(folder / "data"), **_home(command, folder)}
    for _, *arguments in words(command.line, folder):
        run = run_esr(*arguments, *_small(arguments), cwd=folder, env=environment, seconds=SECONDS)
        assert run.code == 0, f"{command}\n{run.err}"


def _home(command: Command, folder: Path) -> dict[str, str]:
    """The folder as `HOME`, where a path that only `esr` expands starts with it, as in `repo=~/NTIRE2026_ESR`."""
    return {"HOME": str(folder)} if "=~" in command.line else {}


def _small(arguments: list[str]) -> list[str]:
    """What makes an evaluation quick, where the command does not say otherwise."""
    if "=" not in arguments[0] and arguments[0] != "-m":  # a subcommand
        return []
    quick = dict.fromkeys(("baseline_weights", "weights"), "random")
    quick |= {"timing": "quick", "timing.max_seconds": "5", "device": "cpu", "telemetry": "off"}
    if not any(word.startswith("data=") for word in arguments):
        quick |= {"data": "folder", "data.root": "images"}
    given = {word.partition("=")[0] for word in arguments}
    return [f"{key}={value}" for key, value in quick.items() if key not in given]


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.place not in (HERE, LATER)], ids=name)
def test_a_command_that_is_not_run_here_says_where_it_is_or_why_not(command):
    if command.place.startswith(NEVER):
        assert len(command.place.removeprefix(NEVER).split()) >= 2, f"{command}: a reason in words"
    else:
        assert (ROOT / command.place).is_file(), f"{command}: {command.place} is no test"
    if command.line.startswith("make "):
        target = command.line.split()[1]
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_mark_is_left_without_a_command(page):
    assert not unused_marks(page)


def test_the_collector_sees_what_it_should(tmp_path):
    page = tmp_path / "page.md"
    block = "```sh\nesr model=rlfn \\\n data=set5  # two lines\n\nesr show\n```\n"
    page.write_text(
        f"<!-- commands\nesr model=*: make test-docs\nesr rank: not run: idle\n-->\n{block}<!-- other -->\n{block}"
    )
    line = "esr model=rlfn   data=set5"
    assert [(one.line, one.place) for one in commands(page)] == [
        (line, LATER), ("esr show", HERE), (line, HERE), ("esr show", HERE)
    ]  # fmt: skip
    assert unused_marks(page) == ["esr rank"]
    shell = "esr show 'a b' > out; esr rank ~/x | cat"
    assert words(shell, tmp_path) == [["esr", "show", "a b"], ["esr", "rank", f"{tmp_path}/x"]]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_on_a_page_is_python_and_names_what_esr_has(page):
    for program in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S):
        for node in ast.walk(ast.parse(program)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "esr":
                assert node.attr in esr.__all__, f"{page.name}: esr.{node.attr}"
