"""Intervals of ranks, brackets and correlations, held against what scipy says of the same samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from esr.ranking import METRICS, Entry, Figures
from esr.ranking.correlation import _resampled, _signs, correlations
from esr.ranking.uncertainty import uncertainty


def rounds_around(ratio, spread, count=12, seed=0):
    """Rounds whose median is the ratio exactly."""
    noise = np.random.default_rng(seed).standard_normal(count)
    return (ratio * (1 + spread * (noise - np.median(noise)))).tolist()


def judged(ratios, spread, seed=0, **rounds):
    measured = [rounds_around(ratio, spread, seed=number, **rounds) for number, ratio in enumerate(ratios)]
    return uncertainty(ratios, measured, [()] * len(ratios), seed)


def test_networks_far_apart_have_one_rank_each_and_no_bracket():
    found = judged([0.5, 0.7, 0.9], 0.001)
    assert found.intervals == [(1, 1), (2, 2), (3, 3)]
    assert found.brackets == [(), (), ()]


def test_networks_within_the_noise_share_a_bracket():
    found = judged([0.500, 0.501, 0.9], 0.02)
    assert found.intervals == [(1, 2), (1, 2), (3, 3)]
    assert found.brackets == [(0,), (0,), ()]


def test_a_network_between_two_may_belong_to_both_brackets():
    ratios = [0.96, 1.0, 1.04]
    found = uncertainty(ratios, [ratio + np.linspace(-0.05, 0.05, 11) for ratio in ratios], [()] * 3, 0)
    assert found.brackets == [(0,), (0, 1), (1,)]


def test_identical_networks_cannot_be_told_apart():
    found = uncertainty([0.5, 0.5], [[0.5] * 8, [0.5] * 8], [(), ()], 0)
    assert found.brackets == [(0,), (0,)]


def test_too_few_rounds_give_no_interval_and_disturb_no_one():
    found = uncertainty(
        [0.5, 0.7, 0.6], [rounds_around(0.5, 0.001), rounds_around(0.7, 0.001), [0.6, 0.9, 0.1]], [()] * 3, 0
    )
    assert found.intervals == [(1, 1), (3, 3), None]
    assert found.brackets == [(), (), ()]


def test_processes_that_disagree_widen_the_interval():
    calm = rounds_around(0.5, 0.001, count=6, seed=1)
    shifted = [value + 0.1 for value in calm]
    other = rounds_around(0.53, 0.001, seed=2)
    ratios = [float(np.median(calm + shifted)), 0.53]
    repeated = uncertainty(ratios, [calm + shifted, other], [[0] * 6 + [1] * 6, []], 0)
    alone = uncertainty([0.5, 0.53], [calm + calm, other], [[0] * 12, []], 0)
    assert repeated.intervals == [(1, 2), (1, 2)]
    assert alone.intervals == [(1, 1), (2, 2)]


def test_the_same_seed_gives_the_same_intervals():
    ratios = [0.5, 0.51, 0.52, 0.53]
    assert judged(ratios, 0.03) == judged(ratios, 0.03)


@given(
    st.lists(st.floats(0.1, 3), min_size=1, max_size=12),
    st.floats(0, 0.3),
    st.integers(0, 100),
)
def test_an_interval_holds_the_networks_own_rank(ratios, spread, seed):
    found = judged(ratios, spread, seed)
    for ratio, (low, high) in zip(ratios, found.intervals, strict=True):
        assert 1 <= low <= sum(other < ratio for other in ratios) + 1 <= high <= len(ratios)


@pytest.mark.parametrize("seed", range(3))
def test_resampled_correlations_are_scipys(seed):
    random = np.random.default_rng(seed)
    x, y = random.integers(0, 6, (2, 15)).astype(float)
    drawn = random.multinomial(15, np.full(15, 1 / 15), size=20)
    rhos, taus = _resampled(_signs(x), _signs(y), drawn.astype(np.float32))
    for counts, rho, tau in zip(drawn, rhos, taus, strict=True):
        some_x, some_y = np.repeat(x, counts), np.repeat(y, counts)
        assert rho == pytest.approx(spearmanr(some_x, some_y).statistic, abs=1e-9)
        assert tau == pytest.approx(kendalltau(some_x, some_y).statistic, abs=1e-9)


@pytest.mark.parametrize("networks", [4, 5, 40, 1500])
def test_correlations_are_scipys(networks):
    random = np.random.default_rng(networks)
    x = random.integers(0, 2 + networks // 2, networks).astype(float)
    y = np.round(random.standard_normal(networks), 1)
    pairs = [Figures(ratio=ratio, flops=flops) for ratio, flops in zip(x, y, strict=True)]
    entries = [Entry("x", "x", "x", None, None, "measured", figures, Figures()) for figures in pairs]
    (found,) = correlations(entries, METRICS, 0)
    assert found.metric == "flops"
    assert found.spearman == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    assert found.kendall == pytest.approx(kendalltau(x, y).statistic, abs=1e-12)
    assert (found.spearman_interval is None) is (found.kendall_interval is None) is (networks != 40)
