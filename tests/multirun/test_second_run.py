"""`esr rerun`: the same measurement with other secrets, what it refuses, and its judgement."""

import json
import os

import pytest
from helpers import rankings
from helpers.forked import run_forked
from helpers.participants import ONCE, SMALL, make_participant

from esr.errors import ConfigError, RecordError
from esr.multirun import second_run
from esr.records.files import Record, decode, load_record


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A participant's folder with one record, and the record's path."""
    folder = make_participant(tmp_path_factory.mktemp("participant"))
    run = run_forked([*SMALL, *ONCE, "sandbox=off"], folder, {**os.environ, "ESR_OFFLINE": "1"})
    assert run.code == 0, run.err
    return folder, run.records[0]


def test_a_record_is_measured_again_with_another_seed_and_in_a_sandbox(recorded, run_esr):
    folder, file = recorded
    run = run_esr("rerun", str(file), f"out={folder / 'again'}", cwd=folder)
    assert run.code in (3, 4), run.err  # one round has no interval
    assert "the record and the second run: " in run.out
    (again,) = (folder / "again" / "reruns").rglob("record.json")
    first, second = load_record(file).document, load_record(again).document
    assert second.timing.seed != first.timing.seed
    assert first.networks.candidate.worker.sandbox is None
    assert second.networks.candidate.worker.sandbox.layers
    assert second.networks.candidate.complexity == first.networks.candidate.complexity


def test_other_code_weights_or_images_are_refused_before_anything_is_measured(recorded, run_esr):
    folder, file = recorded
    code = folder / "tiny.py"
    text = code.read_text()
    code.write_text(text + "changed = True\n")
    run = run_esr("rerun", str(file), cwd=folder)
    code.write_text(text)
    assert (run.code, run.out) == (2, "")
    assert "source files are not those of the record" in run.err
    document = json.loads(file.read_text())
    document["networks"]["candidate"]["weights"]["sha256"] = "0" * 64
    other = Record(decode(json.dumps(document).encode()))
    settings = second_run.settings_of(other, {})
    with pytest.raises(RecordError, match="weights are not those of the record; name its file with weights=FILE"):
        second_run.require_unchanged(other, settings)
    assert not (folder / "reruns").exists()


def test_a_record_decides_neither_on_the_sandbox_nor_on_places_and_is_no_expression(recorded):
    _, file = recorded
    document = json.loads(file.read_text())
    document["config"] |= {"sandbox": "off", "out": "/elsewhere", "force": True}
    document["config"]["model"]["title"] = "${oc.env:HOME}"
    settings = second_run.settings_of(Record(decode(json.dumps(document).encode())), {})
    assert (settings.sandbox, settings.out, settings.force) == ("auto", ".", False)
    assert settings.model.title == "${oc.env:HOME}"
    document["config"]["model"]["nonsense"] = 1
    with pytest.raises(ConfigError, match="the record's configuration: cannot be composed"):
        second_run.settings_of(Record(decode(json.dumps(document).encode())), {})


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("timing.seed=3", "no such key timing.seed"),
        ("model=imdn", "no such key model"),
        ("timing.rounds=0", "timing.rounds=0: must be at least 1"),
        ("timing.rounds=many", "timing.rounds over the record's configuration: cannot be composed"),
    ],
)
def test_a_wrong_word_is_one_line(recorded, run_esr, word, message):
    folder, file = recorded
    run = run_esr("rerun", str(file), word, cwd=folder)
    assert (run.code, run.out) == (2, "")
    assert message in run.err
    assert run.err.count("\n") == 1


def record(ratio=0.5, psnr=29.0, role_reasons=(), **counts):
    made = rankings.document("net", ratio, spread=0.001, rounds=20, psnr=psnr, **counts)
    made["verdict"] = {
        "status": "tainted" if role_reasons else "clean",
        "reasons": [
            {"reason": reason, "severity": "taint", "role": role, "detail": "x"} for role, reason in role_reasons
        ],
    }
    return Record(decode(json.dumps(made).encode()))


CLAIMS = (("candidate", "time_unaccounted"), ("baseline", "time_unaccounted"))


@pytest.mark.parametrize(
    ("second", "outcome", "reason"),
    [
        ({}, "agree", ""),
        ({"ratio": 0.6}, "disagree", "the network is slower than the record says"),
        ({"psnr": 28.9}, "disagree", "candidate: PSNR 29.000 dB in the record, 28.900 dB in the second run"),
        ({"params": 7}, "disagree", "candidate's counts differ"),
        ({"role_reasons": CLAIMS[:1]}, "disagree", "candidate: only the second run says time_unaccounted"),
        ({"role_reasons": CLAIMS}, "agree", ""),  # of both in one run: the machine was busy
    ],
)
def test_two_runs_agree_in_all_that_a_prize_depends_on(second, outcome, reason):
    found = second_run.judge(record(), record(**second), 0.02)
    assert found.outcome == outcome
    assert "; ".join(found.reasons) == reason
