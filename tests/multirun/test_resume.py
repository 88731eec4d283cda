"""One network's folder: which attempts stay, and what is measured again."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import rankings
from helpers.sweeps import network
from hypothesis import given
from hypothesis import strategies as st

from esr.config import compose as composition
from esr.config.schema import EsrConf
from esr.errors import DataError
from esr.evaluation.cache_key import cache_key
from esr.images.files import write_png
from esr.multirun import resume
from esr.multirun.folders import folder_name
from esr.multirun.overview import Overview
from esr.records.files import load_record
from esr.records.network import Weights
from esr.zoo.weights import resolve


@pytest.fixture
def measure(participant, monkeypatch):
    """`one_of_many` on a tiny network in the folder `job`; the evaluation is a stand-in that writes at once.

    Each keyword stands for a change of the configuration; `failure` and `during` are the stand-in's.
    """
    monkeypatch.chdir(participant)
    job = participant / "job"
    job.mkdir()
    state = {"evaluated": 0}

    def evaluate(settings, folder, progress):
        state["evaluated"] += 1
        folder.mkdir()
        write_png(folder / "comparison.png", np.full((8, 8, 3), state["evaluated"], np.uint8))
        state["during"](folder)
        key = cache_key(settings, [resolve(settings.model, settings.weights), resolve(settings.baseline, "random")])
        return load_record(rankings.write(stub(key, state["evaluated"], state["failure"]), folder))

    monkeypatch.setattr(resume, "evaluate", evaluate)

    def run(*overrides, failure=None, during=lambda folder: None):
        state.update(failure=failure, during=during)
        config = composition.compose_unchecked(
            "config",
            ["model=tiny.yaml", "baseline=tiny.yaml", "weights=random", "baseline_weights=random", "data=folder",
             "data.root=images", *overrides],
        )  # fmt: skip
        return resume.one_of_many(config, job, Overview(1))

    run.state = state
    run.job = job
    return run


def stub(key: str, number: int, failure: str | None) -> dict:
    """A tainted or failed record; its `id` is the evaluation's number."""
    made = rankings.document("tiny", 1.0) | {"id": str(number), "cache_key": key}
    made["verdict"] = {"status": "failed" if failure else "tainted", "reasons": []}
    if failure:
        failed = {"stage": "time", "kind": "exception", "message": failure}
        made["networks"]["candidate"]["failure"] = failed
    return made


def numbers(job: Path) -> list[int]:
    """Evaluation of each record in the folder; each has its own picture."""
    found = []
    for file in sorted(job.rglob("record.json")):
        from PIL import Image

        number = int(json.loads(file.read_text())["id"])
        assert np.asarray(Image.open(file.with_name("comparison.png"))).max() == number
        found.append(number)
    return found


def test_a_finished_network_is_skipped_even_if_tainted(measure):
    assert measure().status == "measured"
    again = measure()
    assert (again.status, again.tainted) == ("skipped", True)
    assert measure("lock=fail", "out=/elsewhere").status == "skipped"
    assert measure.state["evaluated"] == 1


def test_force_measures_again_and_leaves_one_record(measure):
    measure()
    assert measure("force=true").status == "measured"
    assert numbers(measure.job) == [2]


def test_a_failed_network_is_measured_again(measure):
    outcome = measure(failure="the weather was bad")
    assert (outcome.status, outcome.detail) == ("failed", "exception: the weather was bad")
    assert "the weather was bad" in (measure.job / resume.FAILURE).read_text()
    assert measure().status == "measured"
    assert numbers(measure.job) == [2]
    assert not (measure.job / resume.FAILURE).exists()


def test_a_record_that_succeeded_outlives_a_forced_failure_but_not_other_code(measure):
    measure()
    assert measure("force=true", failure="too hot").status == "failed"
    assert numbers(measure.job) == [1, 2]
    assert measure().status == "skipped"
    Path("tiny.py").write_text(Path("tiny.py").read_text() + "\n")
    assert measure(failure="worse").status == "failed"
    assert numbers(measure.job) == [3]


def test_a_killed_attempt_is_removed_and_the_old_record_stays_whole_meanwhile(measure):
    measure()

    def killed(folder):
        assert numbers(measure.job) == [1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure("force=true", during=killed)
    assert numbers(measure.job) == [1]
    assert (measure.job / "2" / "comparison.png").exists()
    assert measure().status == "skipped"
    assert not (measure.job / "2").exists()


def test_a_damaged_record_is_measured_again(measure):
    measure()
    (measure.job / "1" / "record.json").write_text('{"format": ')
    assert measure().status == "measured"
    assert numbers(measure.job) == [2]


def test_what_cannot_begin_is_refused_with_its_reason_and_the_old_record_stays(measure):
    measure()

    def spoiled(folder):
        raise DataError("the disk is full")

    outcome = measure("force=true", during=spoiled)
    assert (outcome.status, outcome.detail) == ("refused", "the disk is full")
    assert numbers(measure.job) == [1]


def test_a_defect_of_ours_is_one_networks_outcome_and_keeps_its_traceback(measure, capsys):
    def defect(folder):
        raise ZeroDivisionError("oh")

    assert measure(during=defect).status == "refused"
    assert "Traceback" in capsys.readouterr().err


@pytest.fixture
def settings(participant, monkeypatch):
    monkeypatch.chdir(participant)
    network(participant, "other")
    return composition.compose(["model=tiny.yaml", "baseline=tiny.yaml", "data=folder", "data.root=images"])


RANDOM = Weights("random")


def test_the_cache_key_follows_what_figures_depend_on_and_nothing_else(settings):
    first = cache_key(settings, [RANDOM, RANDOM])
    elsewhere = replace(settings, out="/elsewhere", lock="fail", force=True)
    renamed = replace(settings, model=replace(settings.model, title="A Title", paper="a paper"))
    assert cache_key(elsewhere, [RANDOM, RANDOM]) == cache_key(renamed, [RANDOM, RANDOM]) == first
    changed = {cache_key(settings, [Weights("path", "w", digest), RANDOM]) for digest in ("ab", "cd")}
    changed.add(cache_key(settings, [RANDOM, Weights("path", "w", "ab")]))
    changed.add(cache_key(replace(settings, timing=replace(settings.timing, seed=9)), [RANDOM, RANDOM]))
    changed.add(cache_key(replace(settings, model=replace(settings.model, data_range=255.0)), [RANDOM, RANDOM]))
    Path("images/0.png").write_bytes(Path("images/0.png").read_bytes() + b"more")
    changed.add(cache_key(settings, [RANDOM, RANDOM]))
    Path("tiny.py").write_text(Path("tiny.py").read_text() + "\n")
    changed.add(cache_key(settings, [RANDOM, RANDOM]))
    assert len(changed | {first}) == 8


def test_the_code_of_a_network_is_found_without_importing_it(participant, monkeypatch):
    monkeypatch.chdir(participant)
    (participant / "package").mkdir()
    (participant / "package" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (participant / "package" / "net.py").write_text("first = 1\n")
    model = replace(composed().model, _target_="package.net.Net")
    before = cache_key(replace(composed(), model=model), [RANDOM, RANDOM])
    (participant / "package" / "net.py").write_text("second = 2\n")
    assert cache_key(replace(composed(), model=model), [RANDOM, RANDOM]) != before


def composed() -> EsrConf:
    return composition.compose(["model=tiny.yaml"])


@given(st.text(), st.text())
def test_no_name_leads_out_of_the_folder(name, data):
    for word in (folder_name(name, {"data": data}), folder_name(data, {})):
        assert "/" not in word
        assert not word.startswith(".")
        assert len(word) < 80
