"""CPU and CUDA behind one interface; without a GPU the calls to torch.cuda are recorded, in their order."""

import os
import subprocess
import sys
import types

import pytest
import torch

from esr.errors import DeviceError
from esr.networks import devices
from esr.records.network import Device


@pytest.fixture
def calls(monkeypatch):
    """Replaces torch.cuda by a recorder of calls; a GPU of 24 GiB that is never there."""
    log = []

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            log.append("record")

        def elapsed_time(self, other):
            log.append("elapsed_time")
            return 12.5

    def note(name, result=None):
        return lambda *_: (log.append(name), result)[1]

    properties = types.SimpleNamespace(
        name="Pretend", uuid="GPU-1", major=6, minor=1, total_memory=24 * 2**30, multi_processor_count=30
    )
    fakes = {
        "is_available": lambda: True,
        "device_count": lambda: 2,
        "set_device": note("set_device"),
        "synchronize": note("synchronize"),
        "empty_cache": note("empty_cache"),
        "reset_peak_memory_stats": note("reset_peak_memory_stats"),
        "max_memory_allocated": note("max_memory_allocated", 3 * 2**20),
        "max_memory_reserved": note("max_memory_reserved", 4 * 2**20),
        "get_device_properties": note("get_device_properties", properties),
        "Event": Event,
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    return log


def test_a_cuda_pass_is_timed_from_an_idle_device_to_an_idle_device(calls):
    device = devices.open_device("cuda", 1)
    calls.clear()
    result, duration = device.timed(lambda: (calls.append("run"), "output")[1])
    assert calls == ["synchronize", "record", "run", "record", "synchronize", "elapsed_time"]
    assert result == "output"
    assert duration.ms == 12.5
    assert 0 <= duration.wall_ms < 1000


def test_cuda_memory_is_reset_with_an_empty_cache_and_read_after_a_synchronisation(calls):
    device = devices.open_device("cuda")
    calls.clear()
    device.reset_memory()
    assert calls == ["synchronize", "empty_cache", "reset_peak_memory_stats"]
    calls.clear()
    peak = device.peak_memory()
    assert calls == ["synchronize", "max_memory_allocated", "max_memory_reserved"]
    assert (peak.memory_mib, peak.reserved_mib) == (3.0, 4.0)


def test_auto_takes_the_gpu_where_there_is_one(calls):
    assert devices.open_device("auto").fingerprint().name == "Pretend"
    assert devices.open_device("auto").fingerprint().compute_capability == "6.1"
    assert "set_device" in calls


@pytest.mark.usefixtures("calls")
def test_a_gpu_that_is_not_there_is_named():
    with pytest.raises(DeviceError, match=r"device\.index=2: 2 GPU\(s\) visible, so 0 to 1"):
        devices.open_device("cuda", 2)


def test_cuda_without_a_gpu_says_why_and_what_to_do(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="device=cpu"):
        devices.open_device("cuda")
    assert devices.open_device("auto").fingerprint() == Device("cpu")


def test_the_cpu_clock_covers_the_pass():
    result, duration = devices.open_device("cpu").timed(lambda: sum(range(100_000)))
    assert result == sum(range(100_000))
    assert duration.ms == duration.wall_ms > 0


def test_cpu_memory_counts_what_was_resident_only_during_the_pass():
    device = devices.open_device("cpu")
    device.reset_memory()
    torch.ones(64 * 2**20, dtype=torch.uint8)
    first = device.peak_memory().memory_mib
    device.reset_memory()
    second = device.peak_memory().memory_mib
    assert 60 <= first <= 90
    assert second < 10


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is glibc's")
def test_what_a_pass_frees_is_kept_so_that_the_next_faults_nothing_in():
    code = (
        "import resource, torch; from esr.networks import devices\n"
        "assert devices.keep_freed_memory()\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "def run(): kept = [torch.ones(2**18) for _ in range(32)]\n"
        "run(); run(); before = faults(); run(); print(faults() - before)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 1000  # 32 MiB are 8192 pages


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no oneDNN")
def test_after_renewing_a_convolution_is_compiled_again_and_its_output_is_the_same():
    code = """
import os, torch
from esr.networks import devices
conv, image = torch.nn.Conv2d(64, 64, 3), torch.rand(1, 64, 24, 24)
device = devices.open_device("cpu")
outputs = []
with torch.inference_mode():
    for step in ("new", "kept", "renewed", "kept again", "renewed again"):
        if step.startswith("renewed"):
            os.write(1, b"renewing\\n")
            assert device.renew_kernels()
        os.write(1, f"{step}\\n".encode())
        outputs.append(conv(image))
assert all(torch.equal(output, outputs[0]) for output in outputs)
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ONEDNN_VERBOSE": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    compiled = {}
    for line in run.stdout.splitlines():
        if not line.startswith("onednn_verbose"):
            step = line
            compiled[step] = 0
        elif "create:cache_miss" in line and "convolution" in line:
            compiled[step] += 1
    assert compiled.pop("renewing") == 0
    assert compiled == {"new": 1, "kept": 0, "renewed": 1, "kept again": 0, "renewed again": 1}


def test_switches_are_read_back_as_torch_holds_them():
    before = devices.apply_switches(benchmark=False, deterministic=False, allow_tf32=False)
    try:
        after = devices.apply_switches(benchmark=True, deterministic=True, allow_tf32=True)
        assert torch.backends.cudnn.benchmark is True
        assert (after.benchmark, after.deterministic, after.allow_tf32) == (True, True, True)
    finally:
        devices.apply_switches(
            benchmark=before.benchmark,
            deterministic=before.deterministic,
            allow_tf32=before.allow_tf32,
        )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("shapes do not match"), False),
        (ValueError("out of memory, said the poet"), False),
    ],
)
def test_running_out_of_memory_is_told_from_other_errors(error, expected):
    assert devices.is_out_of_memory(error) is expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_real_gpu_times_and_counts_memory():
    device = devices.open_device("cuda")
    lr = torch.ones(1, 3, 256, 256, device=device.torch_device)
    device.reset_memory()
    _, duration = device.timed(lambda: torch.nn.functional.conv2d(lr, torch.ones(64, 3, 3, 3, device=lr.device)))
    assert 0 < duration.ms <= duration.wall_ms
    assert device.peak_memory().memory_mib > 10


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_real_gpu_s_profiler_tells_the_kernels():
    device = devices.open_device("cuda")
    lr = torch.ones(1, 3, 64, 64, device=device.torch_device)
    kernels = device.kernels(lambda: torch.nn.functional.conv2d(lr, torch.ones(8, 3, 3, 3, device=lr.device)).relu())
    assert kernels
    assert sum(kernel.share for kernel in kernels) == pytest.approx(1.0)
