"""Warm-up, the order of measurement, and the statistics."""

from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esr.config.schema import WarmupConf
from esr.timing.samples import SampleColumns
from esr.timing.schedule import cut, rounds
from esr.timing.statistics import (
    complete_rounds,
    fewest_rounds,
    matrix,
    outliers,
    ratio,
    ratio_plain,
    runtime_ms,
    spreads,
)
from esr.timing.warmup import settled

seconds = st.lists(st.floats(0.001, 3.0), min_size=1, max_size=8)


def test_warm_up_does_not_end_before_the_floor():
    conf = WarmupConf(min_passes=6, window=1)
    assert not settled([1.0] * 5, conf)
    assert settled([1.0] * 6, conf)


def test_warm_up_goes_on_while_passes_get_faster():
    falling = [100 * 0.8**n for n in range(20)]
    assert not settled(falling, WarmupConf())


def test_warm_up_goes_on_while_passes_get_slower():
    rising = [100 * 1.2**n for n in range(20)]
    assert not settled(rising, WarmupConf())


def test_warm_up_goes_on_while_passes_scatter():
    assert not settled([10, 14, 7, 14, 10, 7], WarmupConf(window=3, tolerance=1.0))


def test_one_slow_pass_inside_a_window_does_not_unsettle_it():
    assert settled([10, 10, 10, 10, 35, 10], WarmupConf(window=3))


def take(count, networks, times, block_s=1.0, seed=0):
    return [chunk for chunks in islice(rounds(networks, times, block_s, seed), count) for chunk in chunks]


@given(count=st.integers(1, 12), networks=st.sampled_from([1, 2]), times=seconds, seed=st.integers(0, 99))
@settings(max_examples=60)
def test_every_network_runs_once_over_every_image_in_every_round(count, networks, times, seed):
    chunks = take(count, networks, times, seed=seed)
    turns = Counter((c.round, network, one.image) for c in chunks for network in c.order for one in c.passes)
    assert set(turns.values()) == {1}
    assert len(turns) == count * networks * len(times)
    assert [c.round for c in chunks] == sorted(c.round for c in chunks)


@given(count=st.integers(1, 12), times=seconds, seed=st.integers(0, 99))
@settings(max_examples=60)
def test_the_networks_lead_equally_often_whenever_the_rounds_end(count, times, seed):
    leads = [chunk.order[0] for chunk in take(count, 2, times, seed=seed)]
    for end in range(1, len(leads) + 1):
        assert abs(leads[:end].count(0) - leads[:end].count(1)) <= 1


def test_inputs_are_altered_anew_each_time():
    chunks = take(40, 2, [0.1] * 5)
    alterations = [one.alteration for chunk in chunks for one in chunk.passes]
    assert None not in alterations
    assert len(set(alterations)) == len(alterations)


def test_the_same_seed_gives_the_same_turns_and_another_one_others():
    times = [0.1] * 6
    assert take(5, 2, times, 0.3, seed=1) == take(5, 2, times, 0.3, seed=1)
    assert take(5, 2, times, 0.3, seed=1) != take(5, 2, times, 0.3, seed=2)


@given(times=seconds, limit=st.floats(0.01, 5.0))
def test_no_block_takes_longer_than_its_limit_unless_it_is_one_image(times, limit):
    for images in cut(range(len(times)), times, limit):
        assert len(images) == 1 or sum(times[i] for i in images) <= limit


def test_runtime_ms_is_the_mean_of_the_images_medians():
    table = np.array([[10.0, 100.0], [12.0, 104.0], [90.0, 102.0]])
    assert runtime_ms(table, 0.95).value == pytest.approx((12 + 102) / 2)


def test_the_ratio_is_the_median_of_the_rounds_ratios():
    candidate = np.array([[1.0, 1.0], [3.0, 3.0], [2.0, 2.0]])
    baseline = np.full((3, 2), 4.0)
    assert ratio(candidate, baseline, 0.95).value == pytest.approx(0.5)


def test_a_drift_that_hits_both_networks_leaves_the_ratio_exact():
    drift = np.linspace(1, 3, 12)[:, None]
    estimate = ratio(drift * [[5.0, 7.0]], drift * [[10.0, 14.0]], 0.95)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize(("confidence", "fewest"), [(0.9, 5), (0.95, 6), (0.99, 8)])
def test_too_few_rounds_to_span_the_median_give_no_interval(confidence, fewest):
    assert fewest_rounds(confidence) == fewest
    values = np.linspace(1.0, 1.1, fewest)[:, None]
    assert ratio(values[1:], np.ones_like(values[1:]), confidence).low is None
    assert ratio(values, np.ones_like(values), confidence).low is not None


def test_the_robust_estimate_forgets_an_outlier_and_the_plain_one_does_not():
    candidate, baseline = np.ones((9, 1)), np.ones((9, 1))
    candidate[4] = 10.0
    assert ratio(candidate, baseline, 0.95).value == 1.0
    assert ratio_plain(candidate, baseline, 0.95).value == pytest.approx(2.0)


def test_outliers_are_told_per_image():
    images = [0, 1] * 8
    ms = [10.0 if image == 0 else 100.0 for image in images]
    ms = [value + 0.01 * number for number, value in enumerate(ms)]
    ms[6] = 14.0
    assert [number for number, mark in enumerate(outliers(images, ms)) if mark] == [6]


def test_what_differs_between_processes_widens_the_interval():
    random = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2], 8).tolist()
    level = np.repeat([1.0, 1.05, 0.95], 8)[:, None]
    candidate = level * random.normal(1.0, 0.002, (24, 1))
    pooled = ratio(candidate, np.ones((24, 1)), 0.95)
    honest = ratio(candidate, np.ones((24, 1)), 0.95, groups)
    assert honest.high - honest.low >= pooled.high - pooled.low
    assert honest.low < 0.96
    assert honest.high > 1.04
    within, between = spreads(candidate[:, 0], groups)
    assert within == pytest.approx(0.002, rel=0.5)
    assert between == pytest.approx(0.05, rel=0.2)


def test_intervals_are_reproducible_and_hold_the_estimate():
    table = np.random.default_rng(3).lognormal(2, 0.1, (10, 4))
    first, again = runtime_ms(table, 0.95), runtime_ms(table, 0.95)
    assert first == again
    assert first.low < first.value < first.high


def test_a_wider_confidence_gives_a_wider_interval():
    table = np.random.default_rng(3).lognormal(2, 0.1, (10, 4))
    narrow, wide = (runtime_ms(table, c) for c in (0.5, 0.99))
    assert wide.low < narrow.low
    assert narrow.high < wide.high


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(5)
    for rounds_ in (6, 15):
        hits = 0
        for _ in range(200):
            noise = random.lognormal(0, 0.03, (2, rounds_, 3))
            estimate = ratio(noise[0] * 10, noise[1] * 10, 0.95)
            hits += estimate.low <= 1.0 <= estimate.high
        assert 184 <= hits < 200


def test_a_round_that_broke_off_is_not_counted():
    samples = SampleColumns(round=[0, 0, 1], block=[0, 0, 1], image=[0, 1, 0], ms=[1.0, 2.0, 3.0])
    table = matrix(samples, 2, 2)
    assert complete_rounds(table).tolist() == [True, False]


def test_a_turn_that_was_measured_again_does_not_count():
    samples = SampleColumns(round=[0, 0], block=[0, 1], image=[0, 0], ms=[9.0, 1.0])
    assert matrix(samples, 1, 1, replaced=[0]).tolist() == [[1.0]]
    assert np.isnan(matrix(samples, 1, 1, replaced=[0, 1])).all()


def test_an_interval_over_equal_rounds_is_not_turned_around_by_rounding():
    for seed in range(45, 60):  # of which 52 rounds the bounds past each other
        random = np.random.default_rng(seed)
        candidate, baseline = np.full((6, 2), random.uniform(0.3, 2)), np.full((6, 2), random.uniform(0.5, 2))
        found = ratio(candidate, baseline, 0.95)
        assert found.low <= found.high
        assert found.width >= 0
