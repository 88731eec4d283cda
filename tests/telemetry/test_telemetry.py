"""Figures and verdicts from samples: pure functions; the trace, and the sampler that fills it."""

import gzip
import itertools
import threading
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from esr.config.telemetry import TelemetryConf
from esr.errors import RecordError
from esr.records.network import Estimate
from esr.records.reasons import TELEMETRY_REASONS
from esr.records.telemetry import Cycles, Energy, GpuState, Spread, Telemetry, Window
from esr.system import nvml
from esr.telemetry import host
from esr.telemetry.findings import Disturbance, is_steady, judge_block, judge_cycles, judge_processes, judge_run
from esr.telemetry.sampler import FASTEST_HZ, Sampler
from esr.telemetry.summary import TimedBlock, combine, energy_per_image, energy_scope, summarise
from esr.telemetry.trace import FILE_NAME, read_trace, write_trace
from esr.telemetry.watch import Watch

CONF = TelemetryConf()


def samples(column: str, values, step: float = 1.0) -> list[nvml.Sample]:
    return [{"time_s": step * number, column: value} for number, value in enumerate(values)]


def timed(start: float = 0.0, end: float = 10.0, block: int = 0, images: int = 4):
    return TimedBlock(block, "candidate", images, start, end)


def counters(load: float, seconds: float = 10.0, cores: int = 2, own: float = 1.0) -> list[nvml.Sample]:
    """The host at both ends of a window: `load` of all cores used by others, `own` cores by ourselves."""
    total = cores * seconds
    first = {"time_s": 0.0, host.TOTAL: 500.0, host.BUSY: 300.0, host.OWN: 7.0}
    last = {"time_s": seconds, host.TOTAL: 500 + total, host.OWN: 7 + own * seconds}
    return [first, {**last, host.BUSY: 300 + own * seconds + load * total}]


# --- energy


@given(
    power=st.floats(1, 600),
    times=st.lists(st.floats(0.0, 3.0), min_size=2, max_size=50, unique=True).map(sorted),
)
def test_constant_power_integrates_to_power_times_duration(power, times):
    gpu = [{"time_s": t, "gpu_power_w": power} for t in times]
    gaps = [b - a for a, b in itertools.pairwise([0.0, *times, 3.0])]
    figures = summarise(gpu, [], timed(0.0, 3.0)).figures
    if max(gaps) > 1:
        assert figures.gpu_energy_j is None
    else:
        assert figures.gpu_energy_j == pytest.approx(3 * power)
        assert figures.gpu_energy_method == "power"


def test_power_is_integrated_by_the_trapezoidal_rule():
    gpu = samples("gpu_power_w", [100, 200, 100, 0])
    assert summarise(gpu, [], timed(0.0, 3.0)).figures.gpu_energy_j == pytest.approx(150 + 150 + 50)


def test_the_counter_comes_first_and_one_that_stands_still_is_no_zero():
    gpu = [{**sample, nvml.ENERGY: 50.0 + 10 * sample["time_s"]} for sample in samples("gpu_power_w", [500] * 4)]
    assert summarise(gpu, [], timed(0.0, 3.0)).figures.gpu_energy_j == pytest.approx(30)
    assert summarise(samples(nvml.ENERGY, [7, 7]), [], timed()).figures.gpu_energy_j is None
    assert summarise(samples("gpu_power_w", [100]), [], timed()).figures.gpu_energy_j is None


def test_a_window_too_short_for_the_sensor_has_no_energy():
    gpu = samples("gpu_power_w", [100, 100, 100], step=0.1)
    assert summarise(gpu, [], timed(0.0, 0.2)).figures.gpu_energy_j is None


def test_energy_per_image_leaves_out_the_windows_without_energy():
    known = summarise(samples("gpu_power_w", [100, 100, 100]), [], timed(0.0, 2.0, images=5))
    unknown = summarise([], [], timed(2.0, 4.0, images=5))
    result = energy_per_image([known, unknown])
    assert result.gpu == Energy(joules=200.0, images=5, joules_per_image=40.0, method="power", scope="gpu")
    assert result.host is None


def test_a_power_sensor_that_reads_nothing_is_no_zero_energy():
    summary = summarise(samples("gpu_power_w", [0, 0, 0, 0]), [], timed(0.0, 3.0))
    assert summary.figures.gpu_energy_j is None
    assert energy_per_image([summary]).gpu is None


@pytest.mark.parametrize(
    ("method", "module_power_w", "scope"),
    [
        ("counter", None, "gpu"),
        ("power", None, "gpu"),
        ("counter", 400.0, "module"),
        ("power", 400.0, "gpu"),
        ("counter+power", None, "gpu"),
        ("counter+power", 400.0, None),
    ],
)
def test_the_counter_of_a_gpu_within_a_module_counts_all_of_it(method, module_power_w, scope):
    state = GpuState(**{**dict.fromkeys(GpuState.__struct_fields__), "module_power_w": module_power_w})
    assert energy_scope(method, state) == scope
    assert energy_scope(method, None) == "gpu"


# --- the ratio in time and in cycles


@pytest.mark.parametrize(
    ("ratio", "in_cycles", "named"),
    [
        (Estimate(1.5, 1.4, 1.6), Estimate(1.3, 1.25, 1.35), True),
        (Estimate(1.3, 1.25, 1.35), Estimate(1.5, 1.4, 1.6), True),
        (Estimate(1.5, 1.4, 1.6), Estimate(1.45, 1.3, 1.5), False),
        (Estimate(1.5, 1.4, 1.6), Estimate(1.6, 1.6, 1.7), False),
        (Estimate(1.5), Estimate(1.3, 1.25, 1.35), False),
        (Estimate(1.5, 1.4, 1.6), Estimate(1.3), False),
        (None, Estimate(1.3, 1.25, 1.35), False),
        # The clock is told in steps.
        (Estimate(1.5, 1.499, 1.501), Estimate(1.506, 1.505, 1.507), False),
        (Estimate(1.5, 1.499, 1.501), Estimate(1.494, 1.493, 1.495), False),
        (Estimate(1.5, 1.499, 1.501), Estimate(1.51, 1.509, 1.511), True),
    ],
)
def test_ratios_in_time_and_in_cycles_disagree_beyond_both_intervals(ratio, in_cycles, named):
    found = judge_cycles(ratio, Cycles(in_cycles, 8, {"candidate": 1410.0, "baseline": 1500.0}))
    assert [one.reason for one in found] == (["cycles_disagree"] if named else [])
    assert all(one.severity == "warning" and "1410 MHz (candidate)" in one.detail for one in found)
    assert judge_cycles(ratio, None) == []


def test_only_the_samples_of_a_window_count_its_borders_included():
    gpu = samples("gpu_temperature_c", [50, 60, 61, 62, 90])
    assert summarise(gpu, [], timed(1.0, 3.0)).figures.gpu_temperature_c == Spread(60, 61, 62)


# --- verdicts: what the simulated GPU cannot show


def test_load_by_others_is_what_is_neither_idle_nor_ours():
    assert summarise([], counters(load=0.25), timed()).figures.host_load == pytest.approx(0.25)
    # The kernel counts in steps: ours may come out larger than all that was busy.
    assert summarise([], counters(load=-0.01), timed()).figures.host_load == 0
    # Sums of steps are rounded, so that nobody's idle time may come out below 0.
    assert summarise([], counters(load=1 + 1e-9), timed()).figures.host_load == 1


@pytest.mark.parametrize(("load", "expected"), [(0.0, []), (0.04, []), (0.06, ["host_load"])])
def test_load_by_others_taints_the_block_and_the_run(load, expected):
    summary = summarise([], counters(load), timed(block=3))
    found = judge_block(summary, [], CONF)
    assert [f.reason for f in found] == expected
    assert all(f.block == 3 and "above 5 %" in f.detail for f in found)
    whole = combine([summary], [], [])
    assert [f.reason for f in judge_run([summary], whole, [], CONF)] == expected


def test_short_blocks_tell_load_by_others_only_together():
    blocks = [summarise([], counters(0.5, seconds=0.2), timed(block=n)) for n in range(5)]
    assert all(judge_block(block, [], CONF) == [] for block in blocks)
    assert [f.reason for f in judge_run(blocks, combine(blocks, [], []), [], CONF)] == ["host_load"]


def test_a_clock_is_out_of_line_only_against_enough_blocks_of_the_same_network():
    def block(mhz: float, number: int):
        return summarise(samples("gpu_sm_mhz", [mhz] * 3), [], timed(block=number))

    usual = [block(1500, number) for number in range(3)]
    assert judge_block(block(1400, 9), usual[:2], CONF) == []
    assert [f.detail for f in judge_block(block(1400, 9), usual, CONF)] == [
        "1400 MHz here, 1500 MHz before: 6.7 %, above 2 %"
    ]
    assert judge_block(block(1525, 9), usual, CONF) == []


def test_processes_are_matched_by_pid_and_in_a_container_counted():
    assert judge_processes([7, 8], own={7, 8, 9}, pids_match=True) == []
    assert [f.detail for f in judge_processes([7, 8, 5], own={7, 8}, pids_match=True)] == ["PID 5 on the device"]
    assert judge_processes([70, 80], own={7, 8}, pids_match=False) == []
    assert [f.reason for f in judge_processes([70, 80, 50], own={7, 8}, pids_match=False)] == ["other_process"]


def test_a_gpu_is_steady_once_neither_temperature_nor_clock_move():
    def trend(degrees, mhz=lambda t: 1500.0) -> bool:
        gpu = [{"time_s": t / 5, "gpu_temperature_c": degrees(t / 5), "gpu_sm_mhz": mhz(t / 5)} for t in range(100)]
        return is_steady(gpu, 0.0, 20.0, CONF)

    assert trend(lambda t: 70)
    assert trend(lambda t: min(70, 40 + 5 * t))
    assert not trend(lambda t: 50 + t)
    assert trend(lambda t: 90 - t)  # cooling down delays nothing: the clocks have their own say
    assert not trend(lambda t: 70, mhz=lambda t: 1500 if t < 15 else 1400)
    level = samples("gpu_temperature_c", [70] * 20)
    assert not is_steady(level, since=15.0, now=20.0, conf=CONF)  # it has not been at work for long
    assert is_steady(level, since=5.0, now=20.0, conf=CONF)
    assert not is_steady([], since=0.0, now=0.1, conf=CONF)
    assert is_steady([], since=0.0, now=20.0, conf=CONF)  # a driver that tells nothing holds nothing up


def test_every_disturbance_has_a_documented_reason():
    with pytest.raises(ValueError, match="moonlight"):
        Disturbance("moonlight", "full")
    assert all(text and "\n" not in text for text in TELEMETRY_REASONS.values())


def test_the_shipped_yaml_states_the_schema_s_own_defaults():
    shipped = OmegaConf.load(f"{conf_folder()}/default.yaml")
    assert TelemetryConf(**shipped) == TelemetryConf()
    assert TelemetryConf(**OmegaConf.load(f"{conf_folder()}/off.yaml")) == TelemetryConf(enabled=False)


def test_every_reason_and_threshold_is_documented():
    page = (Path(__file__).resolve().parents[2] / "docs" / "telemetry.md").read_text(encoding="utf-8")
    for name in (*TELEMETRY_REASONS, *TelemetryConf.__dataclass_fields__):
        assert f"\n| `{name}` |" in page


def conf_folder() -> str:
    import esr.conf

    return f"{esr.conf.__path__[0]}/telemetry"


# --- the trace


def test_a_trace_is_read_back_as_it_was_written(tmp_path):
    gpu = [
        {"time_s": 0.5, "gpu_sm_mhz": 1582, "gpu_reasons": 0x1000000000000002},
        {"time_s": 1.5, "gpu_power_w": 1.25},
    ]
    machine = [{"time_s": 1.0, "cpu10_mhz": 3000.0, "cpu2_mhz": 2000.5, host.TOTAL: 123456.78}]
    assert write_trace([*gpu, *machine], tmp_path / "new") == FILE_NAME
    file = tmp_path / "new" / FILE_NAME
    assert read_trace(file) == [gpu[0], machine[0], gpu[1]]
    header = gzip.decompress(file.read_bytes()).decode().splitlines()[0]
    assert header == "time_s,gpu_sm_mhz,gpu_power_w,gpu_reasons,host_total_s,cpu2_mhz,cpu10_mhz"


def test_equal_samples_make_equal_bytes_and_nothing_else_is_left(tmp_path):
    rows = samples("gpu_power_w", [1, 2, 3])
    write_trace(rows, tmp_path)
    first = (tmp_path / FILE_NAME).read_bytes()
    assert first[4:8] == bytes(4)  # gzip's time of compression
    write_trace(rows, tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


def test_a_trace_that_cannot_be_written_or_read_is_one_clear_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match=r"cannot be written .*out=DIR"):
        write_trace(samples("gpu_power_w", [1]), tmp_path / "file")
    write_trace(samples("gpu_power_w", range(1000)), tmp_path)
    whole = (tmp_path / FILE_NAME).read_bytes()
    for damaged in (whole[:-20], b"time_s\n1\n", gzip.compress(b"time_s,gpu_reasons\n1,zz\n")):
        (tmp_path / FILE_NAME).write_bytes(damaged)
        with pytest.raises(RecordError, match="cannot be read"):
            read_trace(tmp_path / FILE_NAME)
    with pytest.raises(RecordError, match="No such file"):
        read_trace(tmp_path / "none.csv.gz")


# --- the sampler


def sampler(read, hz: float = 10.0, max_share: float = 1.0) -> Sampler:
    return Sampler("test", read, hz, max_share, time.monotonic())


def test_a_sampler_runs_until_it_is_stopped_and_stopping_is_safe():
    three = threading.Semaphore(0)

    def read() -> nvml.Sample:
        three.release()
        return {"x": 1.0}

    running = sampler(read)
    running.start()
    assert all(three.acquire(timeout=30) for _ in range(3))
    assert running.stop()
    assert running.stop()
    taken = len(running.samples)
    assert taken >= 3
    assert running.samples == sorted(running.samples, key=lambda sample: sample["time_s"])
    assert sampler(read).stop()  # one that was never started


def test_a_sampler_never_exceeds_ten_per_second_and_slows_down_when_samples_are_dear():
    assert sampler(dict, hz=1000).interval_s == 1 / FASTEST_HZ
    dear = sampler(dict, hz=10, max_share=0.002)
    for cost in (0.0001, 0.004, 0.004, 0.004):
        dear._pace(cost)
    assert dear.interval_s == pytest.approx(0.004 / 0.002)
    for cost in (0.0001, 0.0001, 0.0001, 5.0):  # one that had to wait for a core changes nothing
        dear._pace(cost)
    assert dear.interval_s == pytest.approx(0.1)


def test_a_reader_that_raises_ends_the_sampling_and_not_the_run():
    def read() -> nvml.Sample:
        raise RuntimeError("no such sensor")

    failing = sampler(read)
    failing.start()
    failing.take(read)
    assert failing.stop()
    assert failing.error == "RuntimeError: no such sensor"
    assert failing.samples == []
    assert failing.report().error == failing.error


def test_a_sample_that_hangs_costs_the_run_a_moment_once_and_not_its_end(monkeypatch):
    monkeypatch.setattr("esr.telemetry.sampler._PATIENCE_S", 0.05)
    entered, release = threading.Event(), threading.Event()

    def read() -> nvml.Sample:
        entered.set()
        release.wait(60)
        return {}

    hanging = sampler(read)
    hanging.start()
    assert entered.wait(30)
    hanging.take(dict)
    assert hanging.error == "a sample took longer than 0.05 s"
    hanging.take(dict)  # returns at once
    assert hanging.stop() is False
    release.set()


def test_the_borders_of_a_window_are_sampled_when_asked_for():
    slow = sampler(dict, hz=0.001)
    slow.start()
    for number in range(3):
        slow.take(lambda number=number: {"x": number})
        assert slow.samples[-1]["x"] == number
    assert slow.stop()
    slow.take(lambda: {"x": 9})  # too late: nothing happens
    assert len(slow.samples) == 3


# --- the whole, on this host


def test_a_block_that_raises_is_closed_and_judged():
    with Watch(TelemetryConf(), None, list) as watch:
        with pytest.raises(ZeroDivisionError), watch.window(0):
            _ = 1 / 0
        assert isinstance(watch.disturbances(0), list)
    result = watch.finish()
    windows = msgspec.json.decode(result.telemetry.windows, type=list[Window])
    assert [window.block for window in windows] == [0]
    assert msgspec.json.decode(msgspec.json.encode(result.telemetry), type=Telemetry) == result.telemetry
    assert watch.finish().telemetry.windows == result.telemetry.windows


def test_no_thread_is_left_behind():
    with Watch(TelemetryConf(), None, list):
        assert "esr-host" in [thread.name for thread in threading.enumerate()]
    assert "esr-host" not in [thread.name for thread in threading.enumerate()]
