"""The noise floor: what the baseline measured against itself says of a machine."""

import json

import numpy as np
import pytest

from esr.doctor import noise
from esr.records.document import Timing, Verdict
from esr.timing import statistics

CLEAN = Verdict("clean", ())


def timing(per_round, confidence=0.95):
    values = np.asarray(per_round)[:, None]
    ratio = statistics.ratio(values, np.ones_like(values), confidence)
    return Timing(
        protocol="paired",
        rounds=len(per_round),
        confidence=confidence,
        seed=0,
        ratio=ratio,
        ratio_plain=None,
        ratio_per_round=tuple(per_round),
        process_of_round=(0,) * len(per_round),
        spread=None,
        precision=None,
        processes=(),
        aa=True,
    )


def rounds(sigma, count=60, level=1.0, seed=0):
    return np.random.default_rng(seed).normal(level, sigma, count).tolist()


def test_a_quiet_machine_tells_small_differences_and_its_intervals_hold_one():
    found = noise.examine(timing(rounds(0.002)), CLEAN)
    assert 0 < found.floor < 0.002
    assert (found.short_runs, found.rounds) == (10, 60)
    assert found.holding >= 8
    assert found.single_pass == pytest.approx(0.002, rel=0.3)
    assert noise.finding(found).status == "ok"


def test_a_noisy_machine_is_warned_of_with_what_to_do():
    told = noise.finding(noise.examine(timing(rounds(0.2)), CLEAN))
    assert told.status == "warn"
    assert "end other work" in told.remedy


def test_intervals_that_miss_one_too_often_are_warned_of():
    found = noise.examine(timing(rounds(0.001, level=1.01)), CLEAN)
    assert found.holding == 0
    assert 0.01 < found.floor < 0.012  # as far as it lies off 1, however narrow it is
    told = noise.finding(found)
    assert told.status == "warn"
    assert "do not trust intervals" in told.remedy


def test_too_few_rounds_give_no_floor():
    found = noise.examine(timing(rounds(0.01, count=4)), CLEAN)
    assert found.floor is None
    assert "too few" in noise.finding(found).message


@pytest.mark.slow
def test_the_doctor_ends_with_the_baseline_against_itself(run_esr):
    run = run_esr(
        "doctor",
        "--format",
        "json",
        "--seconds",
        "0.1",
        "device=cpu",
        "device.threads=1",
        "telemetry=off",
        "data.limit=1",
        "timing.warmup.window=1",
        "timing.warmup.min_passes=2",
        "timing.warmup.max_passes=2",
    )
    told = json.loads(run.out)
    assert "noise" in {found["check"] for found in told["findings"]}
    assert told["noise"]["rounds"] >= 1
    assert told["noise"]["ratio"]["value"] > 0
    assert told["noise"]["floor"] is None or told["noise"]["floor"] > 0


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "inf"])
def test_a_time_that_is_none_is_refused(run_esr, seconds):
    run = run_esr("doctor", "--seconds", seconds)
    assert run.code == 2
    assert f"{seconds}: expected a number of seconds above 0" in run.err
