"""The rule that ends the rounds: target precision, time limit or number."""

import numpy as np
import pytest

from esr.config.schema import TimingConf
from esr.records.network import Estimate
from esr.timing.plan import CPU_PRECISION, CPU_PROCESSES, GPU_PRECISION, decide
from esr.timing.statistics import ratio
from esr.timing.stopping import agreed, ended_by, precision


def plan(on_gpu=True, **timing):
    return decide(TimingConf(**timing), on_gpu=on_gpu, seed=1)


def noisy(rounds, sigma, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(1.0, sigma, (rounds, 1)), np.ones((rounds, 1))


def test_rounds_end_once_the_interval_is_narrow_enough():
    timing = plan(precision=0.01)
    assert ended_by(*noisy(13, 0.001), 1.0, timing, 60.0) == "precision"
    assert ended_by(*noisy(13, 0.05), 1.0, timing, 60.0) is None


def test_a_few_rounds_that_agree_by_chance_are_not_enough():
    timing = plan(precision=0.01, min_rounds=10)
    assert ended_by(*noisy(10, 0.0), 1.0, timing, 60.0) is None
    assert ended_by(*noisy(11, 0.0), 1.0, timing, 60.0) == "precision"


def test_one_look_that_is_narrow_by_chance_is_not_enough():
    candidate, baseline = noisy(17, 0.0)
    candidate[1] += 0.1
    widths = [ratio(candidate[:rounds], baseline[:rounds], 0.95).width for rounds in (13, 15, 17)]
    assert [width < 0.01 for width in widths] == [False, True, True]
    timing = plan(precision=0.01)
    assert ended_by(candidate[:15], baseline[:15], 1.0, timing, 60.0) is None
    assert ended_by(candidate, baseline, 1.0, timing, 60.0) == "precision"


def test_between_two_looks_a_run_goes_on_whatever_the_interval():
    assert ended_by(*noisy(12, 0.0), 1.0, plan(precision=0.01), 60.0) is None
    assert ended_by(*noisy(13, 0.0), 1.0, plan(precision=0.01), 60.0) == "precision"


def test_time_ends_rounds_that_never_get_precise():
    timing = plan(precision=1e-6)
    assert ended_by(*noisy(50, 0.1), 29.0, timing, 30.0) is None
    assert ended_by(*noisy(50, 0.1), 30.0, timing, 30.0) == "max_seconds"


def test_a_number_of_rounds_is_kept_to_whatever_the_interval_until_time_is_up():
    timing = plan(rounds=20, precision=0.5)
    assert ended_by(*noisy(19, 0.0), 59.0, timing, 60.0) is None
    assert ended_by(*noisy(20, 0.0), 0.0, timing, 60.0) == "rounds"
    assert ended_by(*noisy(19, 0.0), 60.0, timing, 60.0) == "max_seconds"


def test_a_device_decides_what_the_configuration_leaves_open():
    cpu, gpu = plan(on_gpu=False), plan()
    assert (cpu.precision, cpu.processes) == (CPU_PRECISION, CPU_PROCESSES)
    assert (gpu.precision, gpu.processes) == (GPU_PRECISION, 1)
    assert plan(on_gpu=False, rounds=6).processes == 1
    given = plan(on_gpu=False, precision=0.01, processes=2)
    assert (given.precision, given.processes) == (0.01, 2)


def test_processes_share_the_time_and_leave_what_they_do_not_need_to_the_next():
    timing = plan(on_gpu=False, max_seconds=60, processes=4)
    assert timing.share(0, 0.0) == 15
    assert timing.share(1, 6.0) == 18
    assert timing.share(3, 70.0) == 0


def processes(levels, rounds=10, sigma=0.002):
    """Rounds of several processes, each with a level of its own."""
    random = np.random.default_rng(3)
    candidate = np.concatenate([random.normal(level, sigma, (rounds, 1)) for level in levels])
    return candidate, np.ones_like(candidate), np.repeat(np.arange(len(levels)), rounds).tolist()


def test_processes_that_agree_end_the_timing_and_others_do_not():
    timing = plan(on_gpu=False)
    assert agreed(*processes([1.0, 1.001, 0.999]), timing)
    assert not agreed(*processes([1.0, 1.03, 0.97]), timing)
    assert not agreed(*processes([1.0, 1.0]), timing)  # two say too little
    assert not agreed(*processes([1.0, 1.0, 1.0]), plan(on_gpu=False, rounds=10, processes=4))


def test_processes_that_do_not_agree_widen_the_interval():
    several = processes([1.0] * 4), processes([1.0, 1.02] * 2)
    alike, apart = (ratio(*both, 0.95, groups).width for *both, groups in several)
    assert apart > 3 * alike


@pytest.mark.parametrize(("estimate", "expected"), [(Estimate(2.0, 1.5, 2.5), 0.5), (Estimate(2.0, None, None), None)])
def test_the_width_is_relative_to_the_ratio(estimate, expected):
    assert precision(estimate, 0.01, "rounds").width == expected


def test_a_precision_without_an_interval_is_not_reached():
    assert not precision(Estimate(2.0), 0.01, "rounds").reached
    assert precision(Estimate(2.0, 1.99, 2.01), 0.01, "precision").reached
