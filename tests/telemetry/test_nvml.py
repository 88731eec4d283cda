"""The watch on a simulated GPU: every scenario, through the real nvidia-ml-py, in a process of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from helpers.command import Run
from helpers.forked import run_forked
from helpers.nvml_stub import UUID, UUIDS, environment

from esr.records.telemetry import Telemetry

WATCH = """
import ctypes, dataclasses, json, os, pathlib, sys, time
import msgspec
from esr.config.telemetry import TelemetryConf
from esr.telemetry import watch
from esr.telemetry.watch import Watch

order = json.loads(sys.argv[1])
scenario = pathlib.Path(os.environ["NVML_STUB"])
scenario.write_text(scenario.read_text().replace("SELF", str(os.getpid())))
# Whatever this machine is.
watch._FIRST_NAMESPACE = watch._PID_NAMESPACE.stat().st_ino + (not order["host_pids"])
conf = TelemetryConf(gpu_hz=10, max_share=1.0, host_load=1.0, **order["conf"])
stub = ctypes.CDLL("libnvidia-ml.so.1") if order["stub"] else None
found = []

def go_to(at):
    if stub is not None and at is not None:
        stub.nvmlStubSetTime(ctypes.c_double(at))

def run(steps):
    for at, seconds in steps:
        go_to(at)
        time.sleep(seconds)

with Watch(conf, order["gpu"], lambda: order["own"]) as watch:
    steady = [watch.steady()]
    for step in order["heat"]:
        run([step])
        steady.append(watch.steady())
    for number, steps in enumerate(order["windows"]):
        go_to(steps[0][0])
        with watch.window(number, order["roles"][number % len(order["roles"])], images=10):
            run(steps)
        found.append([f.reason for f in watch.disturbances(number)])
    steady_after = watch.steady()
result = watch.finish(order["counted"])
print(json.dumps({
    "telemetry": json.loads(msgspec.json.encode(result.telemetry)),
    "disturbances": [dataclasses.asdict(one) for one in result.disturbances],
    "blocks": found, "steady": steady, "steady_after": steady_after,
    "trace": result.write_trace(pathlib.Path(order["folder"])).trace,
}))
"""
"""Runs windows of (scenario's time, seconds) steps and prints what the watch says."""


@pytest.fixture
def watch(library: Path, tmp_path: Path) -> Callable[..., dict]:
    """Watches a scenario."""

    def run(scenario: str = "", *, folder=library, **wanted) -> dict:
        file = tmp_path / "scenario.txt"
        file.write_text(scenario)
        order = {"windows": standing(10), "heat": [], "roles": ["candidate"], "gpu": UUID, "own": []}
        order |= {"counted": None, "conf": {}, "folder": str(tmp_path), "stub": folder == library, "host_pids": True}
        order |= wanted
        words, settings = [json.dumps(order)], environment(folder, file)
        if folder == library:
            done = run_forked(words, tmp_path, settings, before=f"{WATCH}\nsys.exit()", seconds=60)
        else:  # the loader looks for other folders at the start of a process only
            command = [sys.executable, "-c", WATCH, *words]
            fresh = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
            done = Run(fresh.returncode, fresh.stdout, fresh.stderr, tmp_path)
        assert (done.code, done.err) == (0, "")
        return json.loads(done.out)

    return run


def standing(count: int) -> list[list[tuple[float, float]]]:
    """Short windows at the scenario's times 0, 1, 2, …"""
    return [[(float(number), 0.02)] for number in range(count)]


def reasons(result: dict) -> set[str]:
    return {found["reason"] for found in result["disturbances"]}


def test_a_quiet_run_is_clean_and_described(watch):
    result = watch()
    assert result["disturbances"] == []
    assert result["blocks"] == [[]] * 10
    gpu, run = result["telemetry"]["gpu"], result["telemetry"]["run"]
    assert gpu["before"]["name"] == "NVIDIA TITAN Xp"
    assert (gpu["after"]["fan_pct"], gpu["after"]["module_power_w"]) == (45, None)
    assert run["gpu_sm_mhz"] == {"min": 1582, "median": 1582, "max": 1582}
    assert run["gpu_pstate"]["max"] == 2
    assert run["reasons"] == "0x0"
    # A Titan Xp has none of these; they are said to be absent, and asked for once only.
    assert gpu["errors"].keys() == {"ecc", "gpu_energy_j", "module_power_w"}
    assert {note["code"] for note in gpu["errors"].values()} == {3}
    assert all(note["count"] == 1 for note in gpu["errors"].values())
    assert result["trace"] == "telemetry.csv.gz"


TAINTS = {
    "hw_slowdown": "4 reasons 0x8\n5 reasons 0",
    "thermal_slowdown": "4 reasons 0x40\n5 reasons 0",
    "sm_clock_spread": "4 sm_mhz 1500\n5 sm_mhz 1582",
}


@pytest.mark.parametrize("reason", TAINTS)
def test_a_block_that_went_wrong_is_named_and_can_be_replaced(watch, reason):
    result = watch(TAINTS[reason])
    assert result["blocks"] == [[reason] if number == 4 else [] for number in range(10)]
    assert reasons(result) == {reason}
    # Measured again, only the block itself speaks against the run, and it no longer counts.
    replaced = watch(TAINTS[reason], counted=[0, 1, 2, 3, 5, 6, 7, 8, 9])
    assert [found["block"] for found in replaced["disturbances"]] == [4]


@pytest.mark.parametrize("bits", ["0x80", "0x20", "0x68"])
def test_every_slowdown_bit_taints(watch, bits):
    result = watch(f"0 reasons {bits}")
    assert reasons(result) <= {"hw_slowdown", "thermal_slowdown"}
    assert all(result["blocks"])


def test_a_power_cap_warns_and_does_not_taint(watch):
    result = watch("0 reasons 0x4")
    [found] = result["disturbances"]
    assert (found["reason"], found["severity"], found["block"]) == ("power_cap", "warning", None)
    assert found["detail"] == "in 10 of 10 blocks"
    assert result["blocks"] == [[]] * 10


def test_an_unknown_bit_is_kept_as_hexadecimal(watch):
    result = watch("0 reasons 0x1000000000000002")
    [found] = result["disturbances"]
    assert (found["reason"], found["severity"]) == ("unknown_clock_reason", "warning")
    assert "0x1000000000000000" in found["detail"]
    assert result["telemetry"]["run"]["reasons"] == "0x1000000000000002"
    assert result["telemetry"]["run"]["reason_names"] == ["application_clocks", "0x1000000000000000"]


def test_an_old_driver_knows_the_old_name_of_the_reasons(watch):
    assert "hw_slowdown" in reasons(watch("0 event_reasons !13\n0 reasons 0x8"))
    assert watch("0 event_reasons !13")["disturbances"] == []


def test_a_clock_that_drifts_slowly_is_seen_over_the_run(watch):
    drift = "\n".join(f"{number} sm_mhz {1600 - 8 * number}" for number in range(10))
    run = [found for found in watch(drift)["disturbances"] if found["block"] is None]
    assert [found["reason"] for found in run] == ["sm_clock_spread"]
    assert "1528 to 1600 MHz: 4.6 %, above 2 %" in run[0]["detail"]


def test_a_clock_that_fell_does_not_become_the_usual_one(watch):
    result = watch("3 sm_mhz 1500")
    assert result["blocks"] == [[]] * 3 + [["sm_clock_spread"]] * 7


def test_a_block_is_held_against_its_own_network_s_clock(watch):
    turns = "\n".join(f"{number} sm_mhz {1582 if number % 2 else 1500}" for number in range(10))
    result = watch(turns, roles=["candidate", "baseline"])
    assert result["blocks"] == [[]] * 10
    assert [(f["reason"], f["block"]) for f in result["disturbances"]] == [("sm_clock_spread", None)]


def test_an_idle_gpu_says_nothing_about_clocks(watch):
    assert watch("5 reasons 0x1\n5 sm_mhz 139\n6 reasons 0\n6 sm_mhz 1582")["disturbances"] == []


def test_a_rising_temperature_taints(watch):
    rising = "\n".join(f"{number} temperature_c {60 + number}" for number in range(10))
    assert reasons(watch(rising)) == {"temperature_rising"}
    assert watch("0 temperature_c 70\n3 temperature_c 71\n6 temperature_c 69")["disturbances"] == []


def test_another_process_taints_whether_before_or_after(watch):
    assert reasons(watch("0 processes 4000001")) == {"other_process"}
    assert reasons(watch("9 processes 4000001,4000002", own=[4000002])) == {"other_process"}
    assert watch("0 processes 4000001", own=[4000001])["disturbances"] == []


@pytest.mark.parametrize("host_pids", [True, False], ids=["on the host", "in a container"])
def test_processes_are_matched_where_pids_are_the_host_s_and_counted_in_a_container(watch, host_pids):
    as_many = watch("0 processes 4000001", own=[4000002], host_pids=host_pids)
    assert reasons(as_many) == ({"other_process"} if host_pids else set())
    more = watch("0 processes 4000001,4000002", own=[4000003], host_pids=host_pids)
    [found] = more["disturbances"]
    words = "PID 4000001, 4000002" if host_pids else "2 processes on the device, at most 1 are ours"
    assert found["detail"].startswith(words)


def test_a_process_of_the_family_is_no_stranger(watch):
    assert watch("0 processes SELF")["disturbances"] == []


def test_a_gpu_that_is_lost_ends_the_watch_and_not_the_run(watch):
    windows = [*standing(3), [(3.0, 0.3), (4.0, 1.2)], [(5.0, 0.02)]]
    result = watch("4 device !15", windows=windows)
    assert reasons(result) == {"not_watched"}
    [found] = result["disturbances"]
    assert found["severity"] == "warning"
    assert found["detail"].startswith("GPU is lost after ")
    assert result["telemetry"]["gpu"]["gone"] == "GPU is lost"
    assert [w.get("gpu_energy_j") for w in result["telemetry"]["windows"][3:]] == [None, None]
    assert result["telemetry"]["windows"][2]["gpu_sm_mhz"]["median"] == 1582


def test_what_is_forbidden_is_noted_and_not_asked_again(watch):
    result = watch("0 reasons !4\n0 power_w !4\n0 processes !4")
    [found] = result["disturbances"]
    assert found["reason"] == "not_watched"
    assert found["detail"] == "gpu_reasons: Insufficient Permissions"
    errors = result["telemetry"]["gpu"]["errors"]
    assert {errors[column]["code"] for column in ("gpu_reasons", "gpu_power_w", "processes")} == {4}
    assert errors["gpu_power_w"]["count"] == 1
    assert result["telemetry"]["run"]["gpu_temperature_c"]["median"] == 70


def test_an_error_that_may_pass_is_asked_again(watch):
    result = watch("0 power_w !999\n5 power_w 100")
    assert result["telemetry"]["gpu"]["errors"]["gpu_power_w"]["code"] == 999
    assert result["telemetry"]["gpu"]["errors"]["gpu_power_w"]["count"] >= 5
    assert result["telemetry"]["run"]["gpu_power_w"]["max"] == 100


ENERGY = {"0 energy 1": "counter", "0 energy !3": "power", "0 energy !3\n0 power_w !3": None}


@pytest.mark.parametrize("scenario", ENERGY)
def test_energy_is_counted_else_integrated_else_unknown(watch, scenario):
    result = watch(scenario, windows=[[(None, 0.8)], [(None, 0.8)]])
    per_image = result["telemetry"]["energy_per_image"]["candidate"]["gpu"]
    if ENERGY[scenario] is None:
        assert per_image is None
        assert result["telemetry"]["run"].get("gpu_energy_j") is None
        return
    seconds = sum(window["end"] - window["start"] for window in result["telemetry"]["windows"])
    assert per_image["method"] == ENERGY[scenario]
    assert per_image["images"] == 20
    assert per_image["joules"] == pytest.approx(180 * seconds, rel=0.1)
    assert per_image["joules_per_image"] == pytest.approx(per_image["joules"] / 20)


@pytest.mark.parametrize(
    ("code", "words"),
    [(9, "Driver Not Loaded"), (18, "RM has detected an NVML/RM version mismatch.")],
)
def test_a_driver_that_does_not_start_is_a_warning(watch, code, words):
    result = watch(f"0 init !{code}")
    assert [(f["reason"], f["severity"], f["detail"]) for f in result["disturbances"]] == [
        ("not_watched", "warning", words)
    ]
    assert result["telemetry"]["gpu"]["errors"]["device"]["code"] == code
    assert result["steady"] == [True]


def test_no_library_at_all_is_a_warning(watch, tmp_path):
    # An empty file stands before any real driver's library.
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "libnvidia-ml.so.1").touch()
    result = watch(folder=tmp_path / "none", windows=[[(None, 0.02)]])
    assert [f["detail"] for f in result["disturbances"]] == ["NVML Shared Library Not Found"]


def test_a_gpu_is_found_by_its_uuid_as_torch_writes_it_or_by_index(watch):
    assert watch(gpu=UUID.removeprefix("GPU-"))["disturbances"] == []
    assert watch(gpu=0)["disturbances"] == []
    assert [f["detail"] for f in watch(gpu="GPU-other")["disturbances"]] == ["Not Found"]


MIG = "MIG-5f3c1a2b-0000-4000-8000-000000000007"
ON_MIG = f"0 count 2\n0 mig@1 MIG-other,{MIG}\n0 name@1 NVIDIA A100\n0 sm_mhz@1 1410\n0 processes@1 4000001"


@pytest.mark.parametrize("gpu", [MIG, MIG.removeprefix("MIG-")])
def test_a_mig_device_is_watched_through_its_gpu(watch, gpu):
    result = watch(ON_MIG, gpu=gpu)
    [finding] = result["disturbances"]
    assert (finding["reason"], finding["severity"], finding["detail"]) == ("mig_device", "warning", MIG)
    found, run = result["telemetry"]["gpu"], result["telemetry"]["run"]
    assert found["mig"] == MIG
    assert (found["before"]["name"], found["before"]["uuid"]) == ("NVIDIA A100", UUIDS[1])
    assert (found["before"]["processes"], found["before"]["memory_used_mib"]) == ([], 38)
    assert (run["gpu_sm_mhz"]["median"], run["gpu_power_w"]["median"]) == (1410, 180)
    assert "hw_slowdown" in reasons(watch(f"{ON_MIG}\n0 reasons@1 0x8", gpu=gpu))
    assert reasons(watch(f"{ON_MIG}\n0 mig_processes@1 4000002", gpu=gpu)) == {"mig_device", "other_process"}


def test_a_mig_device_without_a_way_to_its_gpu_is_not_watched(watch):
    result = watch(f"{ON_MIG}\n0 mig_parent !999", gpu=MIG)
    [finding] = result["disturbances"]
    assert (finding["reason"], finding["severity"]) == ("not_watched", "warning")
    assert finding["detail"] == f"the GPU of {MIG} was not found: Unknown Error"
    assert result["telemetry"]["gpu"]["mig"] == MIG
    assert "gpu_sm_mhz" not in result["telemetry"]["run"]


def test_a_whole_gpu_is_no_mig_device(watch):
    found = watch(ON_MIG, gpu=UUID)["telemetry"]["gpu"]
    assert (found["mig"], found["before"]["memory_used_mib"]) == (None, 300)


def test_warm_up_waits_for_temperature_and_clock(watch):
    scenario = "1 temperature_c 75\n2 temperature_c 80\n3 sm_mhz 1500"
    heat = [(0.0, 0.2), (1.0, 0.1), (2.0, 0.1), (2.0, 1.5), (3.0, 0.1), (3.0, 1.5)]
    result = watch(scenario, heat=heat, windows=[[(3.0, 0.02)]], conf={"steady_s": 1.0})
    assert result["steady"] == [False, False, False, False, True, False, True]
    # After a block the GPU may have waited, so it has to be at work for a while again.
    assert result["steady_after"] is False
    untold = watch("0 temperature_c !3", heat=[(0.0, 0.3)], conf={"steady_s": 0.2})
    assert untold["steady"] == [False, True]
    assert watch("1 device !15", heat=[(0.0, 0.02), (1.0, 0.5)])["steady"] == [False, False, True]


def test_without_a_gpu_only_the_host_is_watched(watch):
    result = watch(gpu=None)
    assert result["disturbances"] == []
    assert result["telemetry"]["gpu"] is None
    assert result["telemetry"]["host"]["samples"] > 0
    assert result["steady"] == [True]


def test_switched_off_nothing_is_sampled_or_judged(watch):
    result = watch("0 reasons 0x8", conf={"enabled": False})
    assert result["telemetry"] == json.loads(msgspec.json.encode(Telemetry(enabled=False)))
    assert result["disturbances"] == []
    assert result["steady"] == [True]
    assert result["trace"] is None


def test_the_driver_is_part_of_the_fingerprint(library, tmp_path):
    def driver(scenario: str) -> dict:
        (tmp_path / "s").write_text(scenario)
        code = (
            "import json, msgspec; from esr.telemetry.environment import driver; "
            "print(json.dumps(msgspec.to_builtins(driver())))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment(library, tmp_path / "s"),
            capture_output=True,
            check=True,
        )
        return json.loads(done.stdout)

    assert driver("0 driver 580.65.06\n0 cuda 13000") == {
        "version": "580.65.06",
        "cuda": "13.0",
        "error": None,
    }
    assert driver("0 init !9") == {"version": None, "cuda": None, "error": "Driver Not Loaded"}


@pytest.mark.gpu
def test_a_real_gpu_answers():
    from esr.system.nvml import Gpu
    from esr.telemetry.environment import driver

    if driver().error is not None:
        pytest.skip("needs an NVIDIA GPU")
    gpu = Gpu(0)
    assert gpu.gone is None
    sample = gpu.timed()
    assert 0 < sample["gpu_temperature_c"] < 120
    assert sample["gpu_sm_mhz"] <= gpu.slow()["max_sm_mhz"]
    gpu.close()
    assert gpu.timed() == {}
