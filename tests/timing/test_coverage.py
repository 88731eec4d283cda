"""Coverage of the ratio's interval in simulation, with the real stopping rule, under noise as machines make it."""

from itertools import count, product

import numpy as np
import pytest

from esr.config.schema import TimingConf
from esr.records.document import Dependence
from esr.records.intervals import dependence
from esr.timing.plan import decide
from esr.timing.statistics import ratio
from esr.timing.stopping import agreed, ended_by

SIGMA = 0.006
TIMING = decide(TimingConf(precision=0.008), on_gpu=True, seed=0)
LONGEST = 120
"""Rounds after which time is up."""
KINDS = ("normal", "t3", "disturbed")


def noise(random, kind, rounds, correlation):
    """Deviations of successive rounds, standard deviation about 1."""
    if kind == "normal":
        shocks = random.standard_normal(rounds)
    elif kind == "t3":
        shocks = random.standard_t(3, rounds) / np.sqrt(3)
    else:
        shocks = random.standard_normal(rounds) * np.where(random.random(rounds) < 0.1, 5, 1)
    deviations = np.empty(rounds)
    before = shocks[0]
    deviations[0] = before
    for number in range(1, rounds):
        before = deviations[number] = correlation * before + shocks[number] * np.sqrt(1 - correlation**2)
    return deviations


def estimate_of_a_run(random, kind, correlation):
    """One run against itself, ended by the rule."""
    candidate = 1 + SIGMA * noise(random, kind, LONGEST, correlation)[:, None]
    baseline = np.ones_like(candidate)
    seconds = TIMING.max_seconds / LONGEST
    rounds = next(n for n in count(1) if ended_by(candidate[:n], baseline[:n], n * seconds, TIMING, TIMING.max_seconds))
    return ratio(candidate[:rounds], baseline[:rounds], 0.95)


def coverage(runs):
    return np.mean([run.low <= 1.0 <= run.high for run in runs])


def test_runs_that_end_by_the_rule_cover_the_truth_whatever_the_noise():
    shares = {}
    for kind, correlation in product(KINDS, (0.0, 0.5)):
        random = np.random.default_rng(1)
        shares[kind, correlation] = coverage([estimate_of_a_run(random, kind, correlation) for _ in range(200)])
    assert min(shares.values()) >= 0.89, shares  # 94 % less three standard errors of 200 runs
    assert np.mean([*shares.values()]) >= 0.945, shares


@pytest.mark.parametrize("between", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize(("processes", "rounds"), [(2, 20), (4, 10), (6, 8)])
def test_several_processes_cover_the_truth_whatever_differs_between_them(processes, rounds, between):
    random = np.random.default_rng(2)
    groups = np.repeat(np.arange(processes), rounds)
    runs = []
    for _ in range(300):
        level = random.normal(0, between * 1.25 / np.sqrt(rounds), processes)
        rounds_of_all = [noise(random, "t3", rounds, 0.3) for _ in range(processes)]
        candidate = (1 + SIGMA * (np.concatenate(rounds_of_all) + level[groups]))[:, None]
        runs.append(ratio(candidate, np.ones_like(candidate), 0.95, groups.tolist()))
    assert coverage(runs) >= 0.92


@pytest.mark.parametrize("between", [0.0, 0.005, 0.01, 0.02])
def test_a_default_run_on_a_cpu_covers_the_truth_though_processes_that_agree_end_it_early(between):
    plan = decide(TimingConf(), on_gpu=False, seed=0)
    random = np.random.default_rng(6)
    runs, early = [], 0
    for _ in range(300):
        rows, groups = np.empty((0, 1)), []
        for process in range(plan.processes):
            level = random.normal(1, between)
            rows = np.concatenate([rows, (level + 0.02 * noise(random, "t3", 12, 0.2))[:, None]])
            groups += [process] * 12
            if agreed(rows, np.ones_like(rows), groups, plan):
                early += 1
                break
        runs.append(ratio(rows, np.ones_like(rows), plan.confidence, groups))
    assert coverage(runs) >= 0.92  # 95 % less two standard errors of 300 runs
    assert early or between > 0.01


def test_an_interval_that_ignored_the_dependence_would_not():
    random = np.random.default_rng(3)
    hits = 0
    for _ in range(200):
        values = noise(random, "normal", 40, 0.5)
        half = 2.02 * values.std(ddof=1) / np.sqrt(40)
        hits += abs(values.mean()) <= half
    assert hits < 170


def test_the_correlation_of_rounds_is_told_with_the_rounds_they_are_worth():
    random = np.random.default_rng(4)
    alone, dependent = (dependence((1 + 0.01 * noise(random, "normal", 400, rho)).tolist()) for rho in (0.0, 0.8))
    assert abs(alone.correlation) < 0.1
    assert alone.independent_rounds > 300
    assert dependent.correlation > 0.4
    assert dependent.independent_rounds < 200


def test_rounds_that_are_all_the_same_depend_on_nothing():
    assert dependence([1.0] * 10) == Dependence(0.0, 10.0)


def test_the_jump_between_two_processes_is_no_correlation_of_rounds():
    levels = np.repeat([1.0, 2.0], 30)
    random = np.random.default_rng(5)
    values = (levels + 0.01 * random.standard_normal(60)).tolist()
    assert dependence(values).correlation > 0.5
    assert abs(dependence(values, [0] * 30 + [1] * 30).correlation) < 0.3
