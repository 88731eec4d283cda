"""Warm-up, the order of turns, and the statistics: pure functions over arrays."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esr.config import WarmupConf
from esr.timing.schedule import cut, plan
from esr.timing.statistics import complete_rounds, matrix, ms_per_image, ratio
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


def test_one_slow_pass_inside_a_window_does_not_unsettle_it():
    assert settled([10, 10, 10, 10, 35, 10], WarmupConf(window=3))


@given(rounds=st.integers(1, 12), networks=st.sampled_from([1, 2]), times=seconds, seed=st.integers(0, 99))
@settings(max_examples=60)
def test_every_network_runs_once_over_every_image_in_every_round(rounds, networks, times, seed):
    blocks = plan(rounds, networks, times, 1.0, seed)
    turns = Counter((b.round, b.network, image) for b in blocks for image in b.images)
    assert set(turns.values()) == {1}
    assert len(turns) == rounds * networks * len(times)
    assert [b.round for b in blocks] == sorted(b.round for b in blocks)


@given(rounds=st.integers(1, 12), times=seconds, seed=st.integers(0, 99))
@settings(max_examples=60)
def test_the_networks_take_turns_over_the_same_images_and_lead_equally_often(rounds, times, seed):
    blocks = plan(rounds, 2, times, 1.0, seed)
    first, second = blocks[::2], blocks[1::2]
    assert all(a.images == b.images and a.network != b.network for a, b in zip(first, second, strict=True))
    leads = Counter(block.network for block in first)
    assert abs(leads[0] - leads[1]) <= 1


@given(times=seconds, seed=st.integers(0, 99))
def test_the_checked_image_is_one_of_the_block(times, seed):
    assert all(block.check in block.images for block in plan(3, 2, times, 1.0, seed))


def test_the_same_seed_gives_the_same_plan_and_another_one_another():
    times = [0.1] * 6
    assert plan(5, 2, times, 0.3, seed=1) == plan(5, 2, times, 0.3, seed=1)
    assert plan(5, 2, times, 0.3, seed=1) != plan(5, 2, times, 0.3, seed=2)


@given(times=seconds, limit=st.floats(0.01, 5.0))
def test_no_block_takes_longer_than_its_limit_unless_it_is_one_image(times, limit):
    for images in cut(range(len(times)), times, limit):
        assert len(images) == 1 or sum(times[i] for i in images) <= limit


def test_ms_per_image_is_the_mean_of_the_images_medians():
    table = np.array([[10.0, 100.0], [12.0, 104.0], [90.0, 102.0]])
    assert ms_per_image(table, 0.95, 999, 0).value == pytest.approx((12 + 102) / 2)


def test_the_ratio_is_the_median_of_the_rounds_ratios():
    candidate = np.array([[1.0, 1.0], [3.0, 3.0], [2.0, 2.0]])
    baseline = np.full((3, 2), 4.0)
    assert ratio(candidate, baseline, 0.95, 999, 0).value == pytest.approx(0.5)


def test_a_drift_that_hits_both_networks_leaves_the_ratio_exact():
    drift = np.linspace(1, 3, 12)[:, None]
    estimate = ratio(drift * [[5.0, 7.0]], drift * [[10.0, 14.0]], 0.95, 999, 0)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.5, 0.5, 0.5))


def test_one_round_has_no_interval():
    estimate = ratio(np.array([[1.0]]), np.array([[2.0]]), 0.95, 999, 0)
    assert (estimate.value, estimate.low, estimate.high) == (0.5, None, None)


def test_intervals_are_reproducible_and_hold_the_estimate():
    table = np.random.default_rng(3).lognormal(2, 0.1, (10, 4))
    first, again = ms_per_image(table, 0.95, 999, 7), ms_per_image(table, 0.95, 999, 7)
    assert first == again
    assert first.low < first.value < first.high


def test_a_wider_confidence_gives_a_wider_interval():
    table = np.random.default_rng(3).lognormal(2, 0.1, (10, 4))
    narrow, wide = (ms_per_image(table, c, 2999, 0) for c in (0.5, 0.99))
    assert wide.low < narrow.low
    assert narrow.high < wide.high


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(5)
    hits = 0
    for trial in range(100):
        noise = random.lognormal(0, 0.03, (2, 15, 3))
        estimate = ratio(noise[0] * 10, noise[1] * 10, 0.95, 499, trial)
        hits += estimate.low <= 1.0 <= estimate.high
    assert hits >= 88


def test_a_round_that_broke_off_is_not_counted():
    samples = {"round": [0, 0, 1], "image": [0, 1, 0], "ms": [1.0, 2.0, 3.0]}
    table = matrix(samples, 2, 2)
    assert complete_rounds(table).tolist() == [True, False]
