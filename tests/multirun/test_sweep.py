"""`esr -m`: every network is measured, none stops another, and the same command resumes."""

import io
import os
import sys
from pathlib import Path

import pytest
from helpers.paths import ROOT
from helpers.sweeps import SHARED, by_network, multirun, network, times
from hydra import initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf
from rich.console import Console

from esr.config import compose as composition
from esr.config.cards import model_names
from esr.errors import ConfigError
from esr.multirun import folders
from esr.multirun.outcomes import NetworkOutcome, summary
from esr.multirun.overview import Overview


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("glob(*)", set(model_names())),
        ("glob(rf*)", {name for name in model_names() if name.startswith("rf")}),
        ("glob(*,exclude=imdn)", set(model_names()) - {"imdn"}),
        ("glob([imdn*,v1],exclude=[*_*])", {"imdn", "v1"}),
    ],
)
def test_glob_stands_for_networks(pattern, expected):
    composition.register()
    GlobalHydra.instance().clear()
    with initialize_config_module("esr.conf", version_base="1.3"):
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        (override,) = parser.parse_overrides([f"model={pattern}"])
        found = list(override.sweep_string_iterator())
    assert set(found) == expected
    assert len(found) == len(expected) >= 2


def test_one_failing_network_stops_no_other_and_the_same_command_goes_on(run_esr, participant):
    network(participant, "broken", args={"fault": "raise"})
    network(participant, "unbuilt", args={"fault": "constructor"})
    (participant / "garbled.yaml").write_text("args: {channels: [}")
    networks = "broken.yaml,unbuilt.yaml,garbled.yaml,tiny.yaml"
    first = multirun(run_esr, participant, networks, "data.limit=1")
    assert first.code == 1
    found = by_network(first.records)
    assert set(found) == {"broken", "tiny"}
    for line in (
        "4 networks: 1 measured, 1 failed, 2 refused",
        "refused: garbled: garbled.yaml: not valid YAML",
        "failed: broken: exception: ValueError: the weather was bad",
        "refused: unbuilt: _target_=tiny.Tiny: cannot be built",
    ):
        assert line in first.out
    assert "4/4 tiny: measured, ratio " in first.err
    assert "Traceback" not in first.err
    (reason,) = participant.rglob("unbuilt-*/failure.txt")
    assert "no such luck" in reason.read_text()

    # All in one folder, which the summary names, and which can be ranked.
    sweep = found["tiny"].parents[2]
    assert {file.parents[2] for file in found.values()} == {sweep}
    assert f"esr rank {sweep.relative_to(participant)}" in first.out
    assert run_esr("rank", "multirun/latest", cwd=participant).code == 0

    before = times([found["tiny"]])
    second = multirun(run_esr, participant, networks, "data.limit=1")
    assert second.code == 1
    assert "tiny: skipped" in second.err
    assert "1 skipped" in second.out
    assert times([by_network(second.records)["tiny"]]) == before


@pytest.mark.slow
def test_what_changed_or_is_forced_is_measured_again(run_esr, participant):
    words = ("tiny.yaml", "data.limit=1")
    first = times(multirun(run_esr, participant, *words).records)
    assert times(multirun(run_esr, participant, *words, "lock=fail").records) == first
    forced = multirun(run_esr, participant, *words, "force=true")
    assert "1 measured" in forced.out
    assert times(forced.records) != first  # and there is one record, not two
    (participant / "tiny.py").write_text((participant / "tiny.py").read_text() + "\n# another version\n")
    assert "1 measured" in multirun(run_esr, participant, *words).out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("model=glob(zzz*)",), ["no network matches", "esr show"]),
        (("model=tiny.yaml,gone.yaml",), ["gone.yaml", "no such file"]),
        (("model=tiny.yaml,tiny2.yaml", "timing.round=1"), ["timing.round", "timing.rounds"]),
        (("model=tiny.yaml,tiny2.yaml", "data.root=/nowhere"), ["2 refused", "tiny, tiny2", "/nowhere"]),
        (("model=tiny.yaml", "hydra/launcher=slurn"), ["slurn", "slurm"]),
        (("data.limit=1,2",), ["no network chosen"]),
    ],
)
def test_a_mistake_that_spoils_every_network_is_said_once_with_exit_code_2(run_esr, participant, arguments, words):
    network(participant, "tiny2")
    given = {word.partition("=")[0] for word in arguments}
    rest = [word for word in (*SHARED, "weights=random") if word.partition("=")[0] not in given]
    run = run_esr("-m", *arguments, *rest, cwd=participant)
    assert run.code == 2
    assert "Traceback" not in run.err
    said = [line for line in (run.out + run.err).splitlines() if words[-1] in line and "/2 " not in line]
    assert len(said) == 1, run.out + run.err
    assert all(word in run.out + run.err for word in words)
    assert not run.records
    assert (participant / "multirun").exists() == ("2 refused" in words)


def test_a_launcher_without_its_extra_is_named(monkeypatch):
    launcher = plugin("Slurm")
    config = OmegaConf.create({"hydra": {"runtime": {"choices": {"hydra/launcher": "slurm"}}}})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"slurm.*pip install submitit"):
        launcher().setup(hydra_context=None, task_function=None, config=config)


def test_folders_are_named_after_what_is_measured_and_lead_nowhere_else():
    def named(*words):
        config = composition.compose_unchecked("config", words)
        return folders.sweep_folder(_root_=config), folders.job_folder(_root_=config)

    table, job = named("model=rlfn", "data=set5")
    assert table.startswith("set5-")
    assert job.startswith("rlfn-")
    assert named("model=imdn", "data=set5", "lock=fail", "out=/elsewhere", "force=true")[0] == table
    assert named("model=rlfn", "data=set5", "timing.seed=7")[0] != table
    hostile = named("model=rlfn", "model.name=../../etc", "data=set5", "data.name=/a/../b")
    assert "/" not in "".join(hostile)


def plugin(name):
    """A plugin of ours, as Hydra's own scan of `hydra_plugins` has found it."""
    (found,) = {kind for kind in Plugins.instance().discover() if kind.__name__ == name}
    return found


def outcome(name, status="measured", detail="ratio 1.000", **more):
    return NetworkOutcome(name, status, detail, Path("/sweep") / name, **more)


def test_the_overview_gives_a_line_for_each_network_where_there_is_no_terminal():
    text = io.StringIO()
    with Overview(3, Console(file=text, width=200, markup=False)) as overview:
        overview.begin("one")
        overview.stage("one: weights", None)
        overview.advance()
        overview.at(1, 2)
        overview.end(outcome("one", "skipped"))
        overview.end(outcome("[two]", seconds=30.0))
        overview.end(outcome("three", "failed", "it broke", seconds=1.0))
    lines = text.getvalue().splitlines()
    assert lines[0] == "1/3 one: skipped, ratio 1.000 (0 s elapsed)"  # no guess from a network that cost nothing
    assert lines[1].startswith("2/3 [two]: measured, ratio 1.000 (30 s; 0 s elapsed")
    assert lines[2] == "3/3 three: failed, it broke (1 s; 0 s elapsed)"


def test_a_line_of_the_overview_leaves_remedies_to_the_summary():
    text = io.StringIO()
    with Overview(2, Console(file=text, width=40)) as overview:
        overview.end(outcome("one", "refused", "one: weights could not be fetched; check the network; or pass PATH"))
        overview.end(outcome("two", detail="ratio 1.000, tainted: busy; warm", seconds=3))
    first, second = text.getvalue().splitlines()
    assert first == "1/2 one: refused, weights could not be fetched (0 s elapsed)"
    assert "tainted: busy; warm (3 s" in second


def test_the_overview_draws_bars_on_a_terminal():
    text = io.StringIO()
    with Overview(2, Console(file=text, width=100, force_terminal=True)) as overview:
        overview.begin("rlfn")
        overview.stage("quality", 4)
        overview.advance(3)
        overview.live.refresh()
    assert "rlfn: quality" in text.getvalue()
    assert "3/4" in text.getvalue()


def test_the_summary_counts_names_reasons_and_says_how_to_rank():
    outcomes = [
        outcome("a", tainted=True),
        outcome("b", "skipped"),
        *(outcome(name, "refused", f"{name}: no images" if name < "f" else f"{name} no images") for name in "cdefghi"),
        outcome("j", "failed", "it broke"),
    ]
    lines = summary(outcomes, 12)
    assert lines[0] == (
        "12 networks: 1 measured, 1 skipped (measured before; force=true repeats), 1 failed, 7 refused, "
        "2 not started (rerun to resume)"
    )
    assert "refused: c, d, e, f, g and 2 more: no images" in lines
    assert "failed: j: it broke" in lines
    assert lines[-3].endswith(": a")
    assert lines[-1] == "table:   esr rank /sweep"


def test_without_slurm_the_launcher_says_so(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ConfigError, match="no sbatch here"):
        plugin("Slurm")(submitit_folder="x", array_parallelism=1).executor()


def test_hydra_finds_the_plugins_by_itself():
    assert {plugin(name).__module__.partition(".")[0] for name in ("Every", "Sequential", "NetworkSource")} == {
        "hydra_plugins"
    }


@pytest.mark.parametrize(
    ("words", "jobs"),
    [
        (["a=1,2", "b=x"], [["a=1", "b=x"], ["a=2", "b=x"]]),
        (["a=1,2", "b=x,y"], [["a=1", "b=x"], ["a=1", "b=y"], ["a=2", "b=x"], ["a=2", "b=y"]]),
        (["a=range(1,3)", "a=7"], [["a=7"]]),
        (["~a", "+b='x,y'"], [["~a", "+b='x,y'"]]),
        ([], [[]]),
    ],
)
def test_every_combination_is_a_job(words, jobs):
    every = plugin("Every")
    overrides = OverridesParser.create().parse_overrides(words)
    assert sys.modules[every.__module__].combinations(overrides) == jobs


@pytest.mark.slow
def test_submitit_gives_each_network_a_process_of_its_own(run_esr, participant):
    pytest.importorskip("submitit")
    network(participant, "broken", args={"fault": "raise"})
    places = [str(ROOT / "tests" / "helpers" / "forking_site"), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    path = {"PYTHONPATH": os.pathsep.join(filter(None, places))}
    words = ("tiny.yaml,broken.yaml", "data.limit=1", "hydra/launcher=submitit_local")
    run = multirun(run_esr, participant, *words, env=path)
    assert run.code == 1, run.err
    assert "2 networks: 1 measured, 1 failed" in run.out
    assert "failed: broken: exception: ValueError: the weather was bad" in run.out
    assert len(list(participant.rglob("*_result.pkl"))) == 2


def test_outcomes_travel_between_processes():
    import cloudpickle

    from esr.multirun.task import Task

    task = Task()
    task.networks = 3
    assert cloudpickle.loads(cloudpickle.dumps(task)).networks == 0
    outcome = NetworkOutcome("one", "failed", "why", folder=Path("/sweep"))
    assert cloudpickle.loads(cloudpickle.dumps(outcome)) == outcome
