"""The host's own counters: what is ours and what is others', and what cannot be read."""

import collections
import os
import subprocess
import sys
import types

import psutil
import pytest

from esr.config.telemetry import TelemetryConf
from esr.telemetry import host
from esr.telemetry.findings import judge_block
from esr.telemetry.host import Host
from esr.telemetry.sampler import TIME
from esr.telemetry.summary import TimedBlock, summarise

CPU_S = 1.2
BURN = f"""
import time
input()
while time.process_time() < {CPU_S}:
    pass
print("done", flush=True)
input()
"""
"""Told to, uses a second of CPU, whatever else the machine does, and stays."""
IN_A_CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BURN!r}])"
QUIET = "input()"


@pytest.fixture
def start():
    """Starts Python processes and ends them."""
    running = []

    def run(code: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        return process

    yield run
    for process in running:
        process.communicate("\n", timeout=60)


def burn(process: subprocess.Popen) -> None:
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


@pytest.mark.parametrize("code", [BURN, IN_A_CHILD], ids=["itself", "in a child"])
def test_what_a_worker_and_its_children_use_is_ours(start, monkeypatch, code):
    monkeypatch.setattr(host, "_TREE_S", 0.0)  # look for children every time
    process = start(code)
    machine = Host(lambda: [process.pid])
    before = machine.counters()[host.OWN]
    burn(process)
    assert machine.counters()[host.OWN] - before >= CPU_S - 0.1
    assert process.pid in machine.family


def test_what_another_process_uses_is_load_by_others_and_taints(start):
    ours, other = start(QUIET), start(BURN)
    machine = Host(lambda: [ours.pid])
    samples = [{TIME: 0.0, **machine.counters()}]
    burn(other)
    samples.append({TIME: 1.0, **machine.counters()})
    block = TimedBlock(0, "candidate", 1, 0.0, 1.0)
    summary = summarise([], samples, block)
    assert summary.others_s >= CPU_S / 2
    threshold = TelemetryConf(host_load=CPU_S / 2 / summary.core_s)
    assert [found.reason for found in judge_block(summary, [], threshold)] == ["host_load"]


def test_a_worker_that_ends_takes_nothing_back(start):
    machine = Host(lambda: [os.getpid()])
    before = machine.counters()[host.OWN]
    subprocess.run([sys.executable, "-c", BURN], input=b"\n\n", check=True, capture_output=True)
    assert machine.counters()[host.OWN] - before >= CPU_S - 0.1


def test_a_pid_that_is_gone_is_no_error():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert Host(lambda: [process.pid]).counters()[host.OWN] == 0


def test_stolen_time_is_busy_and_guest_time_is_not_counted_twice(monkeypatch):
    fields = {
        "user": 10,
        "nice": 1,
        "system": 5,
        "idle": 80,
        "iowait": 5,
        "steal": 3,
        "guest": 4,
        "guest_nice": 1,
    }
    times = collections.namedtuple("times", fields)(**fields)
    monkeypatch.setattr(psutil, "cpu_times", lambda: times)
    sample = Host(list).counters()
    assert (sample[host.TOTAL], sample[host.BUSY], sample[host.OWN]) == (104, 19, 0)


def rapl(root, *microjoules: int, reach: int = 10**9) -> None:
    for number, value in enumerate(microjoules):
        for name in (f"intel-rapl:{number}", f"intel-rapl:{number}:0"):  # a package, and a part of it
            folder = root / "sys" / "class" / "powercap" / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "energy_uj").write_text(f"{value}\n")
            (folder / "max_energy_range_uj").write_text(f"{reach}\n")


def test_energy_is_the_sum_of_the_packages_and_survives_a_wrap(tmp_path):
    rapl(tmp_path, 999_000_000, 100)
    machine = Host(list, root=tmp_path)
    assert machine.counters()[host.ENERGY] == 0
    rapl(tmp_path, 500_000, 3_000_100)
    assert machine.counters()[host.ENERGY] == pytest.approx(1.5 + 3)


def test_energy_that_cannot_be_read_is_absent(tmp_path):
    assert host.ENERGY not in Host(list, root=tmp_path).counters()
    rapl(tmp_path, 1)
    machine = Host(list, root=tmp_path)
    assert host.ENERGY in machine.counters()
    (tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj").unlink()
    assert host.ENERGY not in machine.counters()


def test_frequencies_are_per_core_and_absent_where_unknown(monkeypatch):
    cores = [types.SimpleNamespace(current=mhz) for mhz in (3000.0, 0.0, 2500.0)]
    monkeypatch.setattr(psutil, "cpu_freq", lambda percpu: cores)
    sample = Host(list).read()
    assert {key: value for key, value in sample.items() if key.startswith("cpu")} == {
        "cpu0_mhz": 3000.0,
        "cpu2_mhz": 2500.0,
    }

    def unknown(percpu):
        raise NotImplementedError

    monkeypatch.setattr(psutil, "cpu_freq", unknown)
    assert not [key for key in Host(list).read() if key.startswith("cpu")]


def test_temperature_is_the_hottest_of_the_processor(monkeypatch):
    def entry(celsius: float):
        return types.SimpleNamespace(current=celsius)

    chips = {"acpitz": [entry(99)], "nvme": [entry(80)], "k10temp": [entry(55), entry(61)]}
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: chips)
    assert Host(list).read()["host_temperature_c"] == 61
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: {"nvme": [entry(80)]})
    assert "host_temperature_c" not in Host(list).read()
    monkeypatch.delattr(psutil, "sensors_temperatures")
    assert "host_temperature_c" not in Host(list).read()
