"""Signs of a network slower than its worker claims, on synthetic measurements."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esr.timing.honesty import Clocks, computed_more, ratio_by_parent, ratio_moved, surely_above, unaccounted

ROUNDS, IMAGES = 12, 4


def clocks(ms=100.0, own=1.0, hidden=0.0, delay=0.0, noise=0.02, seed=0, rounds=ROUNDS):
    """Passes of so many milliseconds of which a share is not claimed, and a harness that is late by `delay`."""
    random = np.random.default_rng(seed)
    true = ms * random.lognormal(0, noise, (rounds, IMAGES))
    late = own * (delay + random.lognormal(0, 0.3, (rounds, IMAGES)) - 1)
    return Clocks(true * (1 - hidden), true + late, np.full((rounds, IMAGES), own))


def test_claims_that_agree_with_the_parents_clock_are_believed():
    assert unaccounted(clocks(), clocks(seed=1)) is None
    assert ratio_moved(clocks(), clocks(seed=1)) is None


@pytest.mark.parametrize("hidden", [0.05, 0.2, 0.9])
def test_claims_below_it_are_named_with_both_figures(hidden):
    found = unaccounted(clocks(hidden=hidden), clocks(seed=1))
    assert "by the parent's clock" in found
    assert "as claimed" in found
    assert "ratio" in ratio_moved(clocks(hidden=hidden), clocks(seed=1))


def test_short_turns_hide_nothing():
    assert unaccounted(clocks(ms=2.0, own=0.3, hidden=0.5), clocks(ms=2.0, own=0.3)) is not None


def test_a_few_percent_are_within_what_the_harness_does_not_know_of_itself():
    assert unaccounted(clocks(hidden=0.01), clocks(seed=1)) is None


def test_a_machine_that_delays_both_networks_is_no_network_that_cheats():
    late = clocks(ms=5.0, own=0.5, delay=1.0)
    assert unaccounted(late, clocks(ms=5.0, own=0.5, delay=1.0, seed=1)) is None
    assert unaccounted(late, clocks(ms=5.0, own=0.5, seed=1)) is not None


def test_delays_of_some_passes_only_are_no_evidence():
    late = clocks()
    late.parent[:5] += 300.0
    assert unaccounted(late, clocks(seed=1)) is None


def test_a_partner_that_hides_time_itself_covers_no_more_than_the_harness_takes():
    assert unaccounted(clocks(hidden=0.5), clocks(hidden=0.5, seed=1)) is not None


def test_few_rounds_are_compared_pass_by_pass():
    assert unaccounted(clocks(rounds=1), None) is None
    assert "a pass takes" in unaccounted(clocks(rounds=1, hidden=0.5), None)


@pytest.mark.parametrize(("passes", "late_ms", "named"), [(2, 2.8, False), (2, 7.0, True), (8, 2.8, True)])
def test_two_passes_may_be_late_by_a_slice_of_the_scheduler(passes, late_ms, named):
    claimed = np.full((passes, 1), 23.6)
    found = unaccounted(Clocks(claimed, claimed + late_ms, np.full((passes, 1), 0.4)), None)
    assert (found is not None) == named


def test_without_passes_nothing_is_said():
    nothing = clocks(rounds=0)
    assert unaccounted(nothing, nothing) is None
    assert ratio_moved(nothing, nothing) is None


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_what_is_surely_above_is_never_above_the_median(values):
    assert surely_above(np.array(values)) <= np.median(values)


def test_false_alarms_are_rarer_than_two_in_a_thousand():
    alarms = 0
    for seed in range(2000):
        mine, other = (clocks(hidden=0.02, own=0.2, noise=0.1, seed=2 * seed + k) for k in range(2))
        alarms += unaccounted(mine, other) is not None
    assert alarms <= 4


def test_on_a_machine_that_others_keep_busy_only_larger_gaps_are_evidence():
    busy = clocks(hidden=0.2)
    assert unaccounted(Clocks(busy.claimed, busy.parent, busy.own, load=0.4), None) is None
    assert unaccounted(Clocks(busy.claimed, busy.parent, busy.own, load=0.1), None) is not None


def test_a_ratio_that_is_twice_as_high_by_the_parents_clock_is_named_on_any_machine():
    cheat, other = clocks(hidden=0.9, noise=0.8), clocks(noise=0.8, seed=1)
    busy = [Clocks(one.claimed, one.parent, one.own, load=0.9) for one in (cheat, other)]
    assert "by the parent's clock" in ratio_moved(*busy)


def test_processor_time_has_to_fit_into_the_claims_of_all_threads():
    assert computed_more(1000.0, 10.0, 1990.0, threads=2) is None
    assert computed_more(1000.0, 10.0, 900.0, threads=1) is None
    assert "2600 ms of processor time" in computed_more(1000.0, 10.0, 2600.0, threads=2)


@pytest.mark.parametrize("hidden", [0, 1])
def test_a_network_faster_than_the_harness_has_no_ratio_by_the_parents_clock(hidden):
    tables = [np.full((3, 2), 4.0), np.full((3, 2), 2.0)]
    assert ratio_by_parent(*tables) == 2.0
    tables[hidden][1] = 0.0
    assert ratio_by_parent(*tables) is None


def test_no_complete_round_has_no_ratio_by_the_parents_clock():
    assert ratio_by_parent(np.zeros((0, 2)), np.zeros((0, 2))) is None
