"""The rule that ends the rounds: target precision, time limit or number."""

import numpy as np
import pytest

from esr.config.schema import TimingConf
from esr.records.network import Estimate
from esr.timing.statistics import ratio
from esr.timing.stopping import ended_by, precision


def noisy(rounds, sigma, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(1.0, sigma, (rounds, 1)), np.ones((rounds, 1))


def test_rounds_end_once_the_interval_is_narrow_enough():
    timing = TimingConf(precision=0.01)
    assert ended_by(*noisy(13, 0.001), 1.0, timing) == "precision"
    assert ended_by(*noisy(13, 0.05), 1.0, timing) is None


def test_a_few_rounds_that_agree_by_chance_are_not_enough():
    timing = TimingConf(precision=0.01, min_rounds=10)
    assert ended_by(*noisy(10, 0.0), 1.0, timing) is None
    assert ended_by(*noisy(11, 0.0), 1.0, timing) == "precision"


def test_one_look_that_is_narrow_by_chance_is_not_enough():
    candidate, baseline = noisy(17, 0.0)
    candidate[1] += 0.1
    widths = [ratio(candidate[:rounds], baseline[:rounds], 0.95).width for rounds in (13, 15, 17)]
    assert [width < 0.01 for width in widths] == [False, True, True]
    timing = TimingConf(precision=0.01)
    assert ended_by(candidate[:15], baseline[:15], 1.0, timing) is None
    assert ended_by(candidate, baseline, 1.0, timing) == "precision"


def test_between_two_looks_a_run_goes_on_whatever_the_interval():
    assert ended_by(*noisy(12, 0.0), 1.0, TimingConf(precision=0.01)) is None
    assert ended_by(*noisy(13, 0.0), 1.0, TimingConf(precision=0.01)) == "precision"


def test_time_ends_rounds_that_never_get_precise():
    timing = TimingConf(precision=1e-6, max_seconds=30)
    assert ended_by(*noisy(50, 0.1), 29.0, timing) is None
    assert ended_by(*noisy(50, 0.1), 30.0, timing) == "max_seconds"


def test_a_number_of_rounds_is_kept_to_whatever_the_interval():
    timing = TimingConf(rounds=20, precision=0.5, max_seconds=1)
    assert ended_by(*noisy(19, 0.0), 99.0, timing) is None
    assert ended_by(*noisy(20, 0.0), 0.0, timing) == "rounds"


@pytest.mark.parametrize(("estimate", "expected"), [(Estimate(2.0, 1.5, 2.5), 0.5), (Estimate(2.0, None, None), None)])
def test_the_width_is_relative_to_the_ratio(estimate, expected):
    assert precision(estimate, 0.01, "rounds").width == expected


def test_a_precision_without_an_interval_is_not_reached():
    assert not precision(Estimate(2.0), 0.01, "rounds").reached
    assert precision(Estimate(2.0, 1.99, 2.01), 0.01, "precision").reached
