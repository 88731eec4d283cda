"""One network's folder: which attempts stay, and what is measured again."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.sweeps import network
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from esr.config import compose as composition
from esr.config.schema import EsrConf, typed
from esr.errors import DataError
from esr.evaluation.cache_key import identity
from esr.images.files import write_png
from esr.multirun import resume
from esr.multirun.overview import Overview
from esr.records.files import Record, load_record
from esr.zoo.weights import WeightsFile, resolve


@pytest.fixture
def measure(participant, monkeypatch):
    """`one_of_many` on a tiny network in the folder `job`; the evaluation is a stand-in that writes at once.

    Each keyword stands for a change of the configuration; `failure` and `during` are the stand-in's.
    """
    monkeypatch.chdir(participant)
    monkeypatch.setattr(resume, "load_record", read)
    job = participant / "job"
    job.mkdir()
    state = {"evaluated": 0}

    def evaluate(config, folder, progress):
        state["evaluated"] += 1
        settings = typed(EsrConf, config)
        folder.mkdir()
        write_png(folder / "comparison.png", np.full((8, 8, 3), state["evaluated"], np.uint8))
        state["during"](folder)
        same = identity(
            settings, [resolve(settings.model, settings.weights), resolve(settings.baseline, "random")]
        )
        document = stub(same, state["evaluated"], state["failure"])
        (folder / "record.json").write_text(json.dumps(document))
        return Record(document, folder / "record.json")

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


def stub(same: str, number: int, failure: str | None) -> dict:
    failed = {"stage": "time", "kind": "exception", "message": failure} if failure else None
    networks = {
        "candidate": {"name": "tiny", "failure": failed},
        "baseline": {"name": "tiny", "failure": None},
    }
    status = "failed" if failure else "tainted"
    ratio = {"value": 1.0, "low": None, "high": None}
    return {"identity": same, "number": number, "networks": networks, "timing": {"ratio": ratio},
            "verdict": {"status": status, "reasons": []}}  # fmt: skip


def read(folder: Path) -> Record:
    """`load_record` without the schema, which a stand-in's record does not fit."""
    try:
        return Record(json.loads((folder / "record.json").read_text()), folder / "record.json")
    except ValueError:
        return load_record(folder)


def numbers(job: Path) -> list[int]:
    """Which evaluation each record in the folder is of; each has its own picture."""
    found = []
    for file in sorted(job.rglob("record.json")):
        from PIL import Image

        number = json.loads(file.read_text())["number"]
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
    return typed(
        EsrConf,
        composition.compose(["model=tiny.yaml", "baseline=tiny.yaml", "data=folder", "data.root=images"]),
    )


RANDOM = WeightsFile("random")


def test_identity_follows_what_figures_depend_on_and_nothing_else(settings):
    first = identity(settings, [RANDOM, RANDOM])
    elsewhere = replace(settings, out="/elsewhere", lock="fail", force=True)
    renamed = replace(settings, model=replace(settings.model, title="A Title", paper="a paper"))
    assert identity(elsewhere, [RANDOM, RANDOM]) == identity(renamed, [RANDOM, RANDOM]) == first
    changed = {
        identity(settings, [WeightsFile("path", Path("w"), digest), RANDOM]) for digest in ("ab", "cd")
    }
    changed.add(identity(settings, [RANDOM, WeightsFile("path", Path("w"), "ab")]))
    changed.add(identity(replace(settings, timing=replace(settings.timing, seed=9)), [RANDOM, RANDOM]))
    changed.add(
        identity(replace(settings, model=replace(settings.model, data_range=255.0)), [RANDOM, RANDOM])
    )
    Path("images/0.png").write_bytes(Path("images/0.png").read_bytes() + b"more")
    changed.add(identity(settings, [RANDOM, RANDOM]))
    Path("tiny.py").write_text(Path("tiny.py").read_text() + "\n")
    changed.add(identity(settings, [RANDOM, RANDOM]))
    assert len(changed | {first}) == 8


def test_the_code_of_a_network_is_found_without_importing_it(participant, monkeypatch):
    monkeypatch.chdir(participant)
    (participant / "package").mkdir()
    (participant / "package" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (participant / "package" / "net.py").write_text("first = 1\n")
    model = replace(composed().model, _target_="package.net.Net")
    before = identity(replace(composed(), model=model), [RANDOM, RANDOM])
    (participant / "package" / "net.py").write_text("second = 2\n")
    assert identity(replace(composed(), model=model), [RANDOM, RANDOM]) != before


def composed() -> EsrConf:
    return typed(EsrConf, OmegaConf.create(OmegaConf.to_container(composition.compose(["model=tiny.yaml"]))))


@given(st.text(), st.text())
def test_no_name_leads_out_of_the_folder(name, data):
    from esr.config.digest import _name

    for word in (_name(name, {"data": data}), _name(data, {})):
        assert "/" not in word
        assert not word.startswith(".")
        assert len(word) < 80
