"""Ranges of ranks and brackets hold together; correlations are held against what scipy says of the same samples."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr

from esr.ranking.challenge import METRICS
from esr.ranking.correlation import _resampled, _signs, correlations
from esr.ranking.structures import Entry, Figures, Interval
from esr.ranking.uncertainty import Measured, measured, uncertainty


def around(*ratios, half=0.01, **more):
    return [Measured(ratio, ratio - half, ratio + half, **more) for ratio in ratios]


def test_networks_far_apart_have_one_rank_each_and_no_bracket():
    found = uncertainty(around(0.9, 0.5, 0.7))
    assert found.intervals == [(3, 3), (1, 1), (2, 2)]
    assert found.brackets == [(), (), ()]


def test_networks_within_the_noise_share_a_bracket():
    found = uncertainty(around(0.500, 0.501, 0.9))
    assert found.intervals == [(1, 2), (1, 2), (3, 3)]
    assert found.brackets == [(0,), (0,), ()]


def test_a_network_between_two_may_belong_to_both_brackets():
    found = uncertainty(around(0.985, 1.0, 1.015))
    assert found.intervals == [(1, 2), (1, 3), (2, 3)]
    assert found.brackets == [(0,), (0, 1), (1,)]


def test_identical_networks_cannot_be_told_apart():
    assert uncertainty(around(0.5, 0.5, half=0.0)).brackets == [(0,), (0,)]


def test_without_an_interval_a_network_has_no_range_and_disturbs_no_one():
    found = uncertainty([*around(0.5, 0.7), measured(0.6, None), measured(0.65, Interval(0.6, float("inf")))])
    assert found.intervals == [(1, 1), (4, 4), None, None]
    assert found.brackets == [(), (), (), ()]


def test_the_end_that_faces_the_other_network_counts():
    facing = [Measured(1.0, 0.99, 1.05), Measured(1.06, 1.01, 1.07)]
    turned = [Measured(1.0, 0.95, 1.01), Measured(1.06, 1.05, 1.11)]
    assert uncertainty(facing).intervals == [(1, 2), (1, 2)]
    assert uncertainty(turned).intervals == [(1, 1), (2, 2)]


def test_an_interval_of_more_confidence_tells_more_apart():
    ratios = 1.0, 1.012
    assert uncertainty(around(*ratios)).intervals == [(1, 2), (1, 2)]
    assert uncertainty(around(*ratios, confidence=0.999)).intervals == [(1, 1), (2, 2)]


def test_a_pair_that_is_told_apart_alone_may_not_be_among_many():
    networks = around(0.5, 0.516, *np.linspace(1.0, 1.005, 40))
    assert uncertainty(networks, "one_by_one").intervals[:2] == [(1, 1), (2, 2)]
    assert uncertainty(networks).intervals[:2] == [(1, 2), (1, 2)]
    assert uncertainty(networks[:2]).intervals == [(1, 1), (2, 2)]


def test_orders_that_are_certain_make_room_for_others():
    """Holm's step down: of three networks two pairs are far apart, which leaves the third the whole 5 %."""
    found = uncertainty(around(0.5, 0.515, 5.0))
    assert found.intervals == [(1, 1), (2, 2), (3, 3)]


@pytest.mark.parametrize(("ranges", "least"), [("together", 0.93), ("one_by_one", 0.0)])
def test_ranges_hold_together(ranges, least):
    """Of 12 networks as close as their noise, all true ranks lie in their ranges in at least 95 % of tables."""
    random = np.random.default_rng(1)
    true = np.repeat(np.linspace(1.0, 1.03, 6), 2)  # pairs that are equally fast
    held = 0
    for _ in range(400):
        seen = true + 0.01 * random.standard_normal(len(true))
        found = uncertainty(around(*seen, half=1.96 * 0.01), ranges).intervals
        held += all(
            low <= 1 + (true < own).sum() and high >= len(true) - (true > own).sum()
            for own, (low, high) in zip(true, found, strict=True)
        )
    assert held / 400 >= least
    assert ranges == "together" or held / 400 < 0.9


@given(st.lists(st.floats(0.1, 3), min_size=1, max_size=12), st.floats(0, 0.3), st.booleans())
def test_a_range_holds_the_networks_own_rank(ratios, half, together):
    found = uncertainty(around(*ratios, half=half), "together" if together else "one_by_one")
    for ratio, (low, high) in zip(ratios, found.intervals, strict=True):
        assert 1 <= low <= sum(other < ratio for other in ratios) + 1 <= high <= len(ratios)


@given(st.lists(st.tuples(st.floats(0.1, 3), st.floats(0, 0.3), st.floats(0, 0.3)), min_size=1, max_size=12))
def test_a_range_leaves_out_whoever_is_certainly_faster_or_slower(found):
    found = sorted(found)
    beyond = [
        [slow[0] - fast[0] - math.hypot(fast[2], slow[1]) for slow in found[place + 1 :]]
        for place, fast in enumerate(found)
    ]
    assume(all(abs(one) > 1e-9 for row in beyond for one in row))
    certain = [(place, place + 1 + at) for place, row in enumerate(beyond) for at, one in enumerate(row) if one > 0]
    expected = [
        (1 + sum(slow == place for _, slow in certain), len(found) - sum(fast == place for fast, _ in certain))
        for place in range(len(found))
    ]
    networks = [Measured(ratio, ratio - below, ratio + above) for ratio, below, above in found]
    assert uncertainty(networks, "one_by_one").intervals == expected


def test_thousands_of_networks_are_judged_by_the_first_step():
    found = uncertainty(around(*np.arange(1, 2101).tolist()))
    assert found.intervals == [(place, place) for place in range(1, 2101)]


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
