"""The NVML stub, through the real nvidia-ml-py: several GPUs, MIG devices, time kept in a file."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.nvml_stub import UUIDS, environment, write_time

ASK = """
import json, sys
import pynvml as nvml

nvml.nvmlInit()
def ask(call, *args):
    try:
        answer = getattr(nvml, call)(*args)
        return getattr(answer, "value", answer) if call == "nvmlDeviceIsMigDeviceHandle" else answer
    except nvml.NVMLError as error:
        return int(error.value)
def find(which):
    return ask("nvmlDeviceGetHandleByIndex" if isinstance(which, int) else "nvmlDeviceGetHandleByUUID", which)
result = []
for which, call, *args in json.loads(sys.argv[1]):
    handle = find(which) if which is not None else None
    if isinstance(handle, int):
        result.append({"error": handle})
        continue
    if call.startswith("parent."):
        handle, call = ask("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", handle), call.removeprefix("parent.")
    result.append(handle if isinstance(handle, int) else ask(call, handle, *args))
print(json.dumps(result))
"""
"""Prints the answer to each (device, function, arguments); an error as its number."""
NOT_SUPPORTED, NOT_FOUND = 3, 6
SM, MIG = 1, ("MIG-aaaa", "MIG-bbbb")


@pytest.fixture
def ask(library: Path, tmp_path: Path) -> Callable[..., list]:
    def run(scenario: str, *questions: tuple, time: Path | None = None) -> list:
        file = tmp_path / "scenario"
        file.write_text(scenario)
        done = subprocess.run(
            [sys.executable, "-c", ASK, json.dumps(questions)],
            env=environment(library, file, time),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_each_gpu_has_its_own_fields(ask):
    scenario = "0 count 2\n0 sm_mhz 1500\n0 sm_mhz@1 1400\n0 name@0 Zero\n0 device@1 0"
    assert ask(
        scenario,
        (0, "nvmlDeviceGetUUID"),
        (1, "nvmlDeviceGetUUID"),
        (UUIDS[0], "nvmlDeviceGetClockInfo", SM),
        (UUIDS[1], "nvmlDeviceGetClockInfo", SM),
        (0, "nvmlDeviceGetName"),
        (1, "nvmlDeviceGetName"),
        ("GPU-other", "nvmlDeviceGetName"),
    ) == [*UUIDS, 1500, 1400, "Zero", "NVIDIA TITAN Xp", {"error": NOT_FOUND}]
    assert ask("", (UUIDS[1], "nvmlDeviceGetUUID")) == [{"error": NOT_FOUND}]


def test_one_gpu_of_two_is_lost(ask):
    clock = (SM,)
    assert ask(
        "0 count 2\n0 device@1 !15",
        (0, "nvmlDeviceGetClockInfo", *clock),
        (1, "nvmlDeviceGetClockInfo", *clock),
    ) == [1582, 15]


def test_a_mig_device_leaves_clocks_power_and_temperature_to_its_gpu(ask):
    scenario = f"0 count 2\n0 mig@1 {','.join(MIG)}\n0 sm_mhz@1 1400\n0 name@1 A100"
    whole = [
        "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetPerformanceState",
        "nvmlDeviceGetCurrentClocksThrottleReasons",
    ]
    assert ask(scenario, *((MIG[1], call) for call in whole)) == [NOT_SUPPORTED] * 3
    assert ask(
        scenario,
        (MIG[1], "nvmlDeviceGetUUID"),
        (MIG[1], "nvmlDeviceGetName"),
        (MIG[1], "nvmlDeviceIsMigDeviceHandle"),
        (1, "nvmlDeviceIsMigDeviceHandle"),
        (MIG[1], "nvmlDeviceGetTemperature", 0),
        (MIG[1], "nvmlDeviceGetClockInfo", SM),
        (MIG[1], "parent.nvmlDeviceGetClockInfo", SM),
        (MIG[1], "parent.nvmlDeviceGetUUID"),
        (1, "parent.nvmlDeviceGetUUID"),
    ) == [MIG[1], "A100 MIG 1g.5gb", 1, 0, NOT_SUPPORTED, NOT_SUPPORTED, 1400, UUIDS[1], NOT_FOUND]
    lost_way = f"{scenario}\n0 mig_parent !999"
    assert ask(lost_way, (MIG[0], "parent.nvmlDeviceGetUUID")) == [999]


def test_time_in_a_file_moves_with_the_readings_of_energy_alone(ask, tmp_path):
    file = write_time(tmp_path / "time")
    energy, clock = (0, "nvmlDeviceGetTotalEnergyConsumption"), (0, "nvmlDeviceGetClockInfo", SM)
    scenario = "-1 energy 1\n-1 power_w 100\n0 sm_mhz 1500\n0.5 sm_mhz 1400"
    found = ask(scenario, clock, energy, clock, clock, energy, clock, time=file)
    assert found[:4] == [1582, 0, 1500, 1500]
    assert found[4] == pytest.approx(100 * 0.5 * 1000, rel=0.01)
    assert found[5] == 1400
    write_time(file, 7)
    assert ask(f"{scenario}\n7 sm_mhz 700", clock, time=file) == [700]
