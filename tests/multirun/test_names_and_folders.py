"""Folders that no two runs share, names that every reader accepts, numbers that end: refused before anything runs."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.participants import SMALL
from helpers.sweeps import network
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from esr.config import compose as composition
from esr.config.schema import CheckpointConf
from esr.errors import ConfigError
from esr.evaluation.evaluate import evaluate, require_recordable
from esr.multirun.folders import register, run_folder
from esr.networks import state_dicts, weight_files
from esr.system.files import exclusive
from esr.system.limits import time_limit


def test_runs_of_the_same_second_have_folders_of_their_own(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: run_folder(str(tmp_path), "2026-01-01", "12-00-00"), range(24)))
    assert len(set(found)) == 24
    assert str(tmp_path / "outputs" / "2026-01-01" / "12-00-00") in found


def test_a_place_that_cannot_be_written_is_left_to_whoever_writes_there(tmp_path):
    (tmp_path / "file").write_text("")
    assert exclusive(tmp_path / "file" / "below") == tmp_path / "file" / "below"


@pytest.mark.parametrize("word", ["out=", "out=''", 'out=""', "out='  '"])
def test_no_folder_for_results_is_a_mistake_and_nothing_is_written(participant, run_esr, word):
    before = sorted(participant.rglob("*"))
    for mode in ([], ["-m"]):
        run = run_esr(*mode, *SMALL, word, cwd=participant)
        assert (run.code, run.err) == (2, f"esr: {word}: no folder given; out=. is the current one\n")
    assert sorted(participant.rglob("*")) == before


def test_results_go_to_the_users_home_where_a_shell_left_the_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run_folder("~/x", "day", "time") == str(tmp_path / "x" / "outputs" / "day" / "time")
    assert composition.compose(["model=rlfn", "out=~/x"]).out == str(tmp_path / "x")
    register()
    assert OmegaConf.create({"dir": "${esr.expanded:${out}}", "out": "~/x"}).dir == str(tmp_path / "x")


def test_an_empty_variable_is_none(monkeypatch):
    monkeypatch.setenv("ESR_OUT", "")
    assert composition.compose(["model=imdn"]).out == "."
    monkeypatch.setenv("ESR_OUT", "elsewhere")
    assert composition.compose(["model=imdn"]).out == "elsewhere"


NAMES = {
    "control characters": {"name": "a\x1b[2Jb"},
    "markup": {"name": "<b>net</b>"},
    "pages": {"name": "n" * 201},
    "a title with a line break": {"title": "one\ntwo"},
    "a team with markup": {"team": "<script>"},
    "text that runs backwards": {"team": "a\u202eb"},
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_name_that_no_ranking_takes_is_refused_before_anything_is_measured(participant, monkeypatch, kind):
    monkeypatch.chdir(participant)
    network(participant, "odd", **NAMES[kind])
    settings = composition.compose(["model=odd.yaml", "weights=random", "data=folder", "data.root=images"])
    with pytest.raises(ConfigError) as error:
        evaluate(settings, participant / "out")
    assert str(error.value).isprintable()
    assert not (participant / "out").exists()


def test_the_images_and_the_values_that_a_record_cannot_hold_are_refused_as_well(participant, monkeypatch):
    monkeypatch.chdir(participant)
    os.rename("images/0.png", "images/<b>.png")
    shared = ["model=tiny.yaml", "baseline=tiny.yaml", "weights=random", "baseline_weights=random", "data=folder"]
    with pytest.raises(ConfigError, match=r"image '<b>': not plain text.*rename the file"):
        evaluate(composition.compose([*shared, "data.root=images"]))
    settings = composition.compose([*shared, "data.root=images"])
    settings.data.root = os.fsdecode(b"caf\xe9")
    with pytest.raises(ConfigError, match="not UTF-8"):
        require_recordable(settings)


def test_a_name_is_never_a_path(participant, run_esr):
    for number, name in enumerate(("../../escaped", "/abs/x", "..")):
        network(participant, f"net{number}", name=name)
        run = run_esr("export", f"model=net{number}.yaml", "weights=random", "format=safetensors", cwd=participant)
        assert run.code == 0, run.err
    assert {file.name for file in participant.glob("*.safetensors")} == {
        "escaped.safetensors", "abs_x.safetensors", "network.safetensors",
    }  # fmt: skip


ENDLESS = {
    "timing.seed": "1" + "0" * 30,
    "timing.rounds": "20001",
    "timing.min_rounds": "1000000",
    "timing.processes": "100000",
    "timing.retries": "1000000000",
    "timing.max_seconds": "1e300",
    "timing.timeout_s": "1e300",
    "timing.block_s": "1e-300",
    "timing.precision": "1e-300",
    "timing.confidence": "0.99999999999",
    "timing.warmup.max_passes": "1000000000000",
    "telemetry.host_hz": "1e-300",
    "telemetry.gpu_hz": "1e-9",
    "telemetry.max_share": "1e-300",
    "telemetry.steady_s": "1e300",
    "complexity.height": "1000000000000",
    "quality.border": "1000000000000",
    "data.limit": "1000000000000",
    "device.index": "99999999999",
    "device.cpus": "[99999999999999999999]",
    "model.data_range": "1e-300",
    "model.tile.size": "100000000000",
}


@pytest.mark.parametrize("key", ENDLESS)
def test_a_number_that_would_run_for_ever_or_overflow_is_named(key):
    with pytest.raises(ConfigError) as error:
        composition.compose(["model=imdn", f"{key}={ENDLESS[key]}"])
    assert str(error.value).startswith(f"{key}=")
    assert "must be" in str(error.value)


def test_rounds_are_limited_in_all_processes_together():
    composition.compose(["model=imdn", "timing.rounds=2000", "timing.processes=10"])
    with pytest.raises(ConfigError, match="in all processes together"):
        composition.compose(["model=imdn", "timing.rounds=2001", "timing.processes=10"])


@pytest.mark.parametrize(
    "words",
    [
        ["timing.seed=range(0,1000000000)"],
        ["timing.seed=range(0,1,1e-300)"],
        ["timing.seed=shuffle(range(0,1000000000))"],
        ["timing.seed=range(0,200)", "timing.rounds=range(1,200)"],
    ],
)
def test_a_sweep_without_an_end_is_refused(words):
    from hydra_plugins.esr_plugins.multirun import combinations

    with pytest.raises(ConfigError, match="10000"):
        combinations(OverridesParser.create().parse_overrides(words))


def test_a_sweep_of_usual_size_is_listed():
    from hydra_plugins.esr_plugins.multirun import combinations

    found = combinations(OverridesParser.create().parse_overrides(["timing.seed=range(0,3)", "model=imdn,rfdn", "a=1"]))
    assert len(found) == 6
    assert found[0] == ["timing.seed=0", "model=imdn", "a=1"]


@pytest.mark.parametrize("table", ["drop", "rename"])
def test_a_pattern_that_backtracks_without_end_is_named(monkeypatch, table):
    monkeypatch.setattr(weight_files, "PATTERN_SECONDS", 0.2)
    patterns = ["(a+)+$"] if table == "drop" else {"(a+)+$": "b"}
    with pytest.raises(ConfigError, match="backtracks without end"):
        state_dicts.to_own_names({"a" * 60 + "!": None}, CheckpointConf(**{table: patterns}))


def test_a_limit_leaves_nothing_behind_and_other_threads_alone():
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(10.0, ValueError("late")):
        pass
    with pytest.raises(ValueError, match="late"), time_limit(0.01, ValueError("late")):
        time.sleep(5)
    assert signal.getsignal(signal.SIGALRM) is before
    ran = []

    def work():
        with time_limit(0.0001, ValueError("late")):
            ran.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ran


@pytest.mark.parametrize("word", ["model=[imdn,rfdn]", "data=[div2k_valid,div2k_test]", "baseline=[imdn]"])
def test_several_options_of_a_group_are_refused_with_the_multirun_that_measures_each(word):
    with pytest.raises(ConfigError) as error:
        composition.compose(["model=imdn", word])
    key, _, value = word.partition("=")
    assert f"esr -m {key}={value.strip('[]')}" in str(error.value)
    assert ("esr rank joins" in str(error.value)) is (key == "data")
