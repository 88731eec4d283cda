"""`esr doctor`: a finding and a remedy for each condition that spoils a run, without a traceback on any machine."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from helpers import rankings
from helpers.forked import run_forked
from helpers.nvml_stub import environment as stub_environment
from hypothesis import given
from hypothesis import strategies as st

from esr.cli.command import run
from esr.doctor import checks, state
from esr.doctor.state import GpuCondition, State, TorchState
from esr.evaluation import evaluate as evaluation
from esr.records.document import Driver
from esr.records.files import Record, decode
from esr.records.network import Device
from esr.sandbox.process import Held
from esr.system import cgroups

UUID = "0e5a0e5a-0000-4000-8000-000000000000"
TITAN = GpuCondition(
    index=0,
    name="NVIDIA TITAN Xp",
    uuid=f"GPU-{UUID}",
    sm_mhz=1582,
    max_sm_mhz=1911,
    reasons=0,
    power_limit_w=250,
    default_power_limit_w=250,
    persistence=True,
    processes=(),
)
TORCH = TorchState(
    version="2.7.1",
    cuda="12.6",
    kernels=("sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"),
    count=1,
    gpu=Device("cuda", "NVIDIA TITAN Xp", UUID, "6.1"),
)
GOOD = State(
    torch=TORCH,
    driver=Driver("560.35.03", "12.6", None),
    gpus=(TITAN,),
    device_files=("/dev/nvidia0",),
    out="/out",
    weights_here=42,
    weights_all=42,
    baseline_here=True,
    baseline_bundled=True,
    memory_bytes=16 << 30,
    cores=8,
    uid=10001,
    host_load=0.01,
    sandbox=Held(["Landlock", "no new privileges", "seccomp", "sealed"], {"PID namespace": "refused"}),
)
NO_GPU = replace(TORCH, count=0, gpu=None)
NO_NVML = Driver(None, None, "NVML Shared Library Not Found")


def gpu(**changes) -> State:
    return replace(GOOD, gpus=(replace(TITAN, **changes),))


def driver(**changes) -> State:
    return replace(GOOD, driver=msgspec.structs.replace(GOOD.driver, **changes))


def test_a_good_machine_gets_nothing_but_ok():
    findings = checks.examine(GOOD)
    assert {found.status for found in findings} == {"ok"}, findings
    assert len({found.check for found in findings}) == len(checks.MACHINE)
    assert checks.worst(findings) == "ok"


@pytest.mark.parametrize(
    ("state", "check", "status", "words"),
    [
        (replace(GOOD, torch=TorchState(broken="ImportError: libcudart.so.12")), "torch", "fail", "libcudart"),
        (replace(GOOD, torch=NO_GPU, gpus=(), device_files=(), driver=NO_NVML), "gpu", "warn", "nvidia-smi"),
        (replace(GOOD, torch=NO_GPU, gpus=(), device_files=(), driver=NO_NVML, container="docker"),
         "gpu", "warn", "--gpus all"),
        (replace(GOOD, sandbox=Held(["no new privileges", "seccomp", "sealed"], {"Landlock": "not implemented"})),
         "sandbox", "warn", "lsm=landlock"),
        (replace(GOOD, torch=TorchState("2.13.0+cpu")), "gpu", "fail", "CPU build"),
        (replace(GOOD, torch=replace(NO_GPU, error="The NVIDIA driver on your system is too old (found 11040)")),
         "gpu", "fail", "560 or later"),
        (replace(GOOD, torch=replace(NO_GPU, error="Error 804: forward compatibility was attempted")),
         "gpu", "fail", "cuda-compat"),
        (replace(GOOD, torch=replace(NO_GPU, error="CUDA unknown error")), "gpu", "fail", "restart the container"),
        (replace(GOOD, torch=replace(NO_GPU, error="no luck")), "gpu", "fail", "nvidia-smi"),
        (driver(cuda="11.8", version="520.61.05"), "driver", "fail", "520.61.05"),
        (driver(cuda="12.2"), "driver", "warn", "NVIDIA_DISABLE_REQUIRE"),
        (replace(GOOD, torch=replace(TORCH, kernels=("sm_75", "sm_80", "compute_120"))), "kernels", "fail", "6.1"),
        (replace(GOOD, driver=NO_NVML, gpus=()), "nvml", "warn", "compute,utility"),
        (replace(GOOD, driver=Driver(None, None, "Driver/library version mismatch")), "nvml", "fail", "reboot"),
        (replace(GOOD, driver=Driver(None, None, "Unknown Error")), "nvml", "fail", "daemons"),
        (driver(error="GPU is lost"), "nvml", "fail", "Xid"),
        (driver(error="Insufficient Permissions"), "nvml", "warn", "nvidia-smi"),
        (gpu(gone="GPU is lost"), "nvml", "fail", "GPU 0: GPU is lost"),
        (replace(GOOD, gpus=()), "nvml", "warn", "shows no GPU"),
        (replace(GOOD, torch=replace(TORCH, count=4)), "one gpu", "warn", "device=0"),
        (gpu(reasons=0x40), "clocks", "fail", "hw_thermal"),
        (gpu(reasons=0x4), "clocks", "warn", "power limit"),
        (gpu(reasons=0x2), "clocks", "warn", "-rac"),
        (gpu(power_limit_w=150), "clocks", "warn", "-pl 250"),
        (gpu(sm_mhz=139), "clocks", "warn", "139 of 1911"),
        (gpu(persistence=False), "persistence", "warn", "-pm 1"),
        (gpu(processes=(4242, 17)), "alone", "fail", "4242, 17"),
        (replace(GOOD, out_error="Read-only file system"), "out", "fail", "out=DIR"),
        (replace(GOOD, out_error="Permission denied", container="docker"), "out", "fail", "--user"),
        (replace(GOOD, baseline_here=False, weights_here=0), "weights", "warn", "esr fetch --all"),
        (replace(GOOD, baseline_here=False, baseline_bundled=False), "weights", "fail", "imdn"),
        (replace(GOOD, memory_bytes=1 << 30, memory_limited=True), "memory", "warn", "--memory"),
        (replace(GOOD, memory_bytes=1 << 30), "memory", "warn", "close other"),
        (replace(GOOD, cpu_limit=1.5), "cores", "warn", "--cpuset-cpus"),
        (replace(GOOD, host_load=0.63), "load", "warn", "other processes use 63 % of the cores"),
    ],
)  # fmt: skip
def test_each_trouble_is_named_with_its_remedy(state, check, status, words):
    found = [found for found in checks.examine(state) if found.check == check]
    assert [one.status for one in found] == [status]
    assert words in f"{found[0].message} {found[0].remedy}"
    assert found[0].remedy
    assert checks.worst(checks.examine(state)) == status


def test_an_image_is_judged_without_its_gpu_and_refused_as_root_or_with_build_tools():
    bare = replace(GOOD, torch=NO_GPU, gpus=(), driver=NO_NVML)
    assert checks.worst(checks.examine(bare, checks.IMAGE)) == "ok"
    for spoilt in (replace(bare, uid=0), replace(bare, build_tools=("gcc",))):
        assert checks.worst(checks.examine(spoilt, checks.IMAGE)) == "fail"


def test_what_the_driver_does_not_say_is_no_finding():
    silent = replace(GOOD, gpus=(GpuCondition(index=0, uuid=f"GPU-{UUID}"),))
    assert not {"persistence", "alone"} & {found.check for found in checks.examine(silent)}
    assert checks.worst(checks.examine(silent)) == "ok"


def test_of_several_gpus_the_one_that_was_asked_for_is_named(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(state, "_torch", lambda index: asked.append(index) or replace(TORCH, count=2))
    assert run(["doctor", "--quick", "device.index=1"]) == 0
    assert asked == [1]
    assert "2 GPUs are visible, of which the one with index 1 is measured" in capsys.readouterr().out


def test_of_several_gpus_the_one_that_torch_uses_is_looked_at():
    busy = replace(TITAN, index=1, uuid="GPU-other", processes=(1,), reasons=0x8)
    assert checks.worst(checks.examine(replace(GOOD, gpus=(busy, TITAN)))) == "ok"


@pytest.mark.parametrize(
    ("kernels", "capability", "fits"),
    [
        (["sm_60"], "6.1", True),
        (["sm_61"], "6.0", False),
        (["sm_70", "sm_75"], "6.1", False),
        (["sm_80"], "8.9", True),
        (["sm_90a"], "9.0", True),
        (["sm_90a"], "10.0", False),
        (["sm_120"], "12.0", True),
        (["compute_90"], "12.0", True),
        (["compute_120"], "9.0", False),
        ([], "9.0", False),
        (["sm_60"], "", False),
    ],
)
def test_kernels_run_where_nvidia_says_they_do(kernels, capability, fits):
    assert checks.runs_on(kernels, capability) is fits


@given(st.lists(st.text(max_size=12)), st.text(max_size=6))
def test_unknown_words_for_kernels_are_no_error(kernels, capability):
    assert checks.runs_on(kernels, capability) in (True, False)


@pytest.mark.parametrize(
    ("own", "files", "memory", "cores"),
    [
        ("0::/", {"memory.max": "max", "cpu.max": "max 100000"}, None, None),
        ("0::/", {"memory.max": "2147483648", "cpu.max": "150000 100000"}, 2 << 30, 1.5),
        ("0::/a/b", {"a/memory.max": "1073741824", "a/b/memory.max": "2147483648", "a/cpu.max": "100000 100000"},
         1 << 30, 1.0),
        ("5:memory:/x\n6:cpu,cpuacct:/x", {
            "memory/memory.limit_in_bytes": "1073741824",
            "cpu,cpuacct/cpu.cfs_quota_us": "50000",
            "cpu/cpu.cfs_quota_us": "50000",
            "cpu/cpu.cfs_period_us": "100000",
        }, 1 << 30, 0.5),
        ("5:memory:/\n6:cpu:/", {
            "memory/memory.limit_in_bytes": str(0x7FFFFFFFFFFFF000),
            "cpu/cpu.cfs_quota_us": "-1",
            "cpu/cpu.cfs_period_us": "100000",
        }, None, None),
        ("", {}, None, None),
    ],
)  # fmt: skip
def test_limits_of_control_groups_are_read_on_both_versions(tmp_path, own, files, memory, cores):
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text + "\n")
    assert cgroups.memory_limit(tmp_path / "root", tmp_path / "own") == memory
    assert cgroups.cpu_limit(tmp_path / "root", tmp_path / "own") == cores


@pytest.fixture
def half_a_core_and_a_gigabyte():
    """Folders of a control group with these limits, in the version of control groups on this machine."""
    name, top = f"esr-test-{os.getpid()}", Path("/sys/fs/cgroup")
    new = {top / name: {"cpu.max": "50000 100000", "memory.max": str(1 << 30)}}
    old = {top / "cpu" / name: {"cpu.cfs_quota_us": "50000"},
           top / "memory" / name: {"memory.limit_in_bytes": str(1 << 30)}}  # fmt: skip
    chosen = new if (top / "cgroup.controllers").exists() else old
    made = []
    try:
        for folder, files in chosen.items():
            folder.mkdir()
            made.append(folder)
            for file, text in files.items():
                (folder / file).write_text(text)
        yield made
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    finally:
        for folder in made:
            folder.rmdir()


@pytest.mark.slow
def test_real_limits_are_warned_of_and_stand_in_the_fingerprint(half_a_core_and_a_gigabyte, tmp_path):
    joined = "; ".join(f"echo $$ > {folder}/cgroup.procs" for folder in half_a_core_and_a_gigabyte)
    ask = "from esr.telemetry import environment; print(environment.cpu().quota_cores)"
    esr = Path(sys.executable).with_name("esr")
    script = f'{joined}; {sys.executable} -c "{ask}"; exec {esr} doctor --quick out={tmp_path}'
    run = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert not run.stderr
    assert run.stdout.startswith("0.5\n")
    assert "1.0 GiB of memory, limited by a control group" in run.stdout
    assert "a quota of 0.5 core(s)" in run.stdout


def test_the_command_says_what_is_here_and_never_trips(run_esr, tmp_path):
    run = run_esr("doctor", "--quick", f"out={tmp_path}/new/folder", fresh=True)
    assert "Traceback" not in run.err
    assert run.code == (1 if "fail " in run.out else 0)
    assert "results can be written" in run.out
    assert not (tmp_path / "new").exists()


def test_json_carries_the_same_findings(run_esr):
    run = run_esr("doctor", "--quick", "--format", "json")
    told = json.loads(run.out)
    assert told["status"] in ("ok", "warn", "fail")
    assert {"torch", "gpu", "out", "weights", "memory", "cores"} <= {found["check"] for found in told["findings"]}


def test_a_folder_that_cannot_be_written_is_a_failure(run_esr):
    run = run_esr("doctor", "--quick", "out=/proc/nowhere")
    assert run.code == 1
    assert "/proc/nowhere" in run.out


@pytest.mark.parametrize("words", [["DIR"], ["out=a", "out=b"], ["--nonsense"]])
def test_a_wrong_word_ends_in_one_line(run_esr, words):
    run = run_esr("doctor", *words)
    assert run.code == 2
    assert run.err.startswith(f"esr: {words[-1]}" if "=" in words[-1] else "esr: ")
    assert "esr doctor --help" in run.err


def test_an_unknown_key_ends_in_one_line_before_anything_is_looked_at(run_esr):
    run = run_esr("doctor", "--quick", "device.cores=3")
    assert (run.code, run.out) == (2, "")
    assert "device.cores" in run.err
    assert len(run.err.splitlines()) == 1


def test_a_baseline_that_cannot_be_measured_is_a_finding(run_esr):
    run = run_esr("doctor", "--format", "json", "baseline_weights=nowhere.pth", "device=cpu")
    assert run.code == 1, run.err
    last = json.loads(run.out)["findings"][-1]
    assert (last["check"], last["status"]) == ("noise", "fail")
    assert "nowhere.pth" in last["message"]


def test_a_baseline_that_fails_while_it_is_measured_is_a_finding(monkeypatch, capsys, tmp_path):
    made = rankings.document()
    made["networks"]["baseline"]["failure"] = {"stage": "time", "kind": "crashed", "message": "killed by SIGKILL"}
    failed = Record(decode(json.dumps(made).encode()))
    monkeypatch.setattr(evaluation, "evaluate", lambda *_, **__: failed)
    monkeypatch.setattr(state, "gather", lambda *_: GOOD)
    assert run(["doctor", f"out={tmp_path}"]) == 1
    assert "killed by SIGKILL" in capsys.readouterr().out


def test_help_says_what_the_exit_codes_mean(run_esr):
    run = run_esr("doctor", "--help")
    assert "\n  esr doctor --quick           only the checks\n" in run.out
    assert "Exit code 0" in run.out


@pytest.mark.parametrize(
    ("scenario", "check", "status"),
    [
        ("", "nvml", "ok"),
        ("0 init !18", "nvml", "fail"),
        ("0 count !15", "nvml", None),
        ("0 uuid !15", "nvml", "fail"),
        ("0 processes 4242,17", "alone", "fail"),
        ("0 reasons 0x40\n0 event_reasons 0x40", "clocks", "fail"),
        ("0 persistence 0", "persistence", "warn"),
        ("0 count 2", "one gpu", "warn"),
    ],
)
def test_the_drivers_own_library_is_asked(library, tmp_path, scenario, check, status):
    (tmp_path / "scenario").write_text(scenario + "\n")
    soon = "from esr.doctor import state; state.LOAD_S = 0.05"
    environment = stub_environment(library, tmp_path / "scenario")
    run = run_forked(["doctor", "--quick", "--format", "json"], tmp_path, environment, before=soon)
    assert "Traceback" not in run.err
    found = {found["check"]: found["status"] for found in json.loads(run.out)["findings"]}
    assert found.get(check) == status, run.out


@pytest.mark.parametrize("words", [["model=imdn"], ["-m", "model=imdn,rlfn"]])
def test_a_run_into_a_folder_that_cannot_be_made_ends_in_the_line_the_doctor_would_have_said(run_esr, tmp_path, words):
    (tmp_path / "file").touch()
    run = run_esr(*words, f"out={tmp_path}/file")
    assert run.code == 2
    assert "Traceback" not in run.err
    assert f"{tmp_path}/file/" in run.err
    assert "out=DIR" in run.err
