"""The simulated CUDA device behaves as CUDA does where an evaluation depends on it."""

import gc
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from helpers.cuda_stub.simulated_cuda import DeviceScript, Script, simulated
from helpers.cuda_stub.simulated_cuda.runtime import simulation
from helpers.nvml_stub import UUIDS, write_time
from torch import nn

from esr.errors import DeviceError
from esr.networks.devices import open_device
from esr.records.network import LONGEST_KERNEL, MOST_KERNELS

KERNEL_MS = 20.0
SCRIPT = Script(kernel_us=KERNEL_MS * 1000)
TWO = (DeviceScript(UUIDS[1], "slow", nvml_index=1), DeviceScript(UUIDS[0], "fast", memory_mib=1))
MIG = DeviceScript(UUIDS[0], mig=("MIG-aaaa0000-1", "MIG-bbbb0000-2"))
MIB = 2**20


@pytest.fixture
def cuda() -> Iterator[None]:
    """One device with slow kernels."""
    with simulated(SCRIPT, {}):
        yield


def events() -> tuple[torch.cuda.Event, torch.cuda.Event]:
    return torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)


def milliseconds(kernels: int) -> float:
    """On the device, for as many kernels."""
    x = torch.zeros(4, device="cuda")
    begin, end = events()
    begin.record()
    for _ in range(kernels):
        x.add_(1)
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end)


def test_a_launch_returns_before_its_work_is_done(cuda):
    x = torch.zeros(4, device="cuda")
    start = time.perf_counter()
    for _ in range(20):
        x.add_(1)
    launched = time.perf_counter() - start
    torch.cuda.synchronize()
    finished = time.perf_counter() - start
    assert launched < finished
    assert finished >= 20 * KERNEL_MS / 1000


def test_events_measure_what_the_script_says_on_any_machine(cuda):
    assert milliseconds(3) == pytest.approx(3 * KERNEL_MS, abs=0.01)
    x = torch.zeros(4, device="cuda")
    begin, end = events()
    begin.record()
    x.add_(1)
    time.sleep(2 * KERNEL_MS / 1000)  # another process has the CPU
    x.add_(1)
    end.record()
    torch.cuda.synchronize()
    assert begin.elapsed_time(end) == pytest.approx(2 * KERNEL_MS, abs=0.01)


def test_an_event_that_is_asked_too_early_raises(cuda):
    x = torch.zeros(4, device="cuda")
    begin, end = events()
    begin.record()
    for _ in range(20):
        x.add_(1)
    end.record()
    assert not end.query()
    with pytest.raises(RuntimeError, match="not ready"):
        begin.elapsed_time(end)
    end.synchronize()
    assert begin.elapsed_time(end) > 0


def test_an_event_that_takes_no_time_or_was_not_recorded_raises(cuda):
    begin, end = events()
    begin.record()
    with pytest.raises(RuntimeError, match="invalid resource handle"):
        begin.elapsed_time(end)
    untimed = torch.cuda.Event()
    untimed.record()
    with pytest.raises(RuntimeError, match="invalid resource handle"):
        begin.elapsed_time(untimed)


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize(
    "wait", [lambda x: x.cpu(), lambda x: x.tolist(), lambda x: x.to("cpu"), lambda x: x[0].item()]
)
def test_reading_a_result_waits_for_it(cuda, wait, inference):
    x = torch.zeros(4, device="cuda")
    start = time.perf_counter()
    with torch.inference_mode(inference):
        for _ in range(5):
            x.add_(1)
        wait(x)
    assert time.perf_counter() - start >= 5 * KERNEL_MS / 1000


def test_views_and_empty_tensors_take_no_time(cuda):
    x = torch.zeros(4, 4, device="cuda")
    begin, end = events()
    begin.record()
    torch.empty_like(x.view(16).reshape(2, 8).T[0].unsqueeze(0))
    end.record()
    torch.cuda.synchronize()
    assert begin.elapsed_time(end) == 0


def test_a_tensor_knows_its_device(cuda):
    x = torch.zeros(4, device="cuda")
    assert x.device == torch.device("cuda", 0)
    assert x.is_cuda
    assert (x + 1).device == x.device
    assert torch.ones(2, device=x.device).is_cuda
    assert x.cpu().device.type == "cpu"
    assert not torch.zeros(4).is_cuda
    assert x.to("cuda") is x
    assert torch.zeros(4).to(x).is_cuda
    with pytest.raises(TypeError, match="numpy"):
        x.numpy()
    assert x.cpu().numpy().sum() == 0
    with pytest.raises(RuntimeError, match="same device"):
        _ = x + torch.zeros(4)
    assert torch.equal((x + torch.tensor(1.0)).cpu(), torch.ones(4))


def test_a_network_computes_the_same_as_on_the_cpu(cuda):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.PixelShuffle(4))
    x = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        expected = network(x)
        network.to(torch.device("cuda", 0))
        assert all(parameter.is_cuda for parameter in network.parameters())
        assert torch.equal(network(x.to("cuda")).cpu(), expected)


def test_memory_is_that_of_live_tensors(cuda):
    before = torch.cuda.memory_allocated()
    x = torch.zeros(MIB, dtype=torch.uint8, device="cuda")
    view = x[:10]
    assert torch.cuda.memory_allocated() - before == MIB
    y = x + 1
    assert torch.cuda.memory_allocated() - before == 2 * MIB
    del x, y
    gc.collect()
    assert torch.cuda.memory_allocated() - before == MIB
    assert torch.cuda.max_memory_allocated() - before == 2 * MIB
    assert torch.cuda.memory_reserved() >= 2 * MIB
    torch.cuda.reset_peak_memory_stats()
    del view
    gc.collect()
    assert torch.cuda.memory_allocated() == before
    assert torch.cuda.max_memory_allocated() - before == MIB
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() < 2 * MIB


def test_parameters_that_move_are_counted_once(cuda):
    network = nn.Conv2d(3, 8, 3)
    expected = sum(parameter.nbytes for parameter in network.parameters())
    network.to("cuda").to("cuda")
    gc.collect()
    assert torch.cuda.memory_allocated() == expected
    del network
    gc.collect()
    assert torch.cuda.memory_allocated() == 0


def test_memory_beyond_the_limit_is_out_of_memory():
    with simulated(Script(devices=(DeviceScript(memory_mib=2),)), {}):
        x = torch.zeros(MIB, dtype=torch.uint8, device="cuda")
        y = x + 1
        with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
            _ = x + y
        with pytest.raises(torch.OutOfMemoryError):
            torch.zeros(1, device="cuda")
        del y
        gc.collect()
        _ = x + 1


VISIBLE = {
    None: ["slow", "fast"],
    "1": ["fast"],
    "1,0": ["fast", "slow"],
    UUIDS[0]: ["fast"],
    f"{UUIDS[0]}, {UUIDS[1]}": ["fast", "slow"],
    "": [],
    "0,7,1": ["slow"],
}


@pytest.mark.parametrize("wanted", VISIBLE)
def test_visible_devices_are_chosen_by_index_and_uuid(wanted):
    environ = {} if wanted is None else {"CUDA_VISIBLE_DEVICES": wanted}
    with simulated(Script(devices=TWO), environ):
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        assert names == VISIBLE[wanted]
        assert torch.cuda.is_available() == bool(names)
        if not names:
            with pytest.raises(DeviceError, match="no usable GPU"):
                open_device("cuda")


def test_each_device_has_its_own_queue_and_memory():
    with simulated(Script(devices=TWO, kernel_us=KERNEL_MS * 1000), {}):
        x = torch.zeros(MIB // 2, dtype=torch.uint8, device="cuda:1")
        assert x.device.index == 1
        assert torch.cuda.memory_allocated(0) == 0
        assert torch.cuda.memory_allocated("cuda:1") == MIB // 2
        begin, end = events()  # of device 0, the current one
        begin.record()
        x.add_(1)
        end.record()
        torch.cuda.synchronize()
        assert begin.elapsed_time(end) == 0
        with pytest.raises(RuntimeError, match="same device"):
            _ = x + torch.zeros(MIB // 2, dtype=torch.uint8, device="cuda:0")
        assert x.to("cuda:0").device.index == 0


@pytest.mark.parametrize(
    ("wanted", "uuid"), [(None, "aaaa0000-1"), ("0", "aaaa0000-1"), ("MIG-bbbb0000-2", "bbbb0000-2")]
)
def test_a_gpu_in_mig_mode_is_offered_as_one_of_its_devices(wanted, uuid):
    with simulated(Script(devices=(MIG,)), {} if wanted is None else {"CUDA_VISIBLE_DEVICES": wanted}):
        assert torch.cuda.device_count() == 1
        assert str(torch.cuda.get_device_properties(0).uuid) == uuid


def test_the_clock_follows_the_scenario_of_its_own_gpu(tmp_path: Path):
    scenario, clock = tmp_path / "scenario", write_time(tmp_path / "time")
    scenario.write_text("-1 sm_mhz 1600\n-1 sm_mhz@0 800\n2 sm_mhz@1 1200\n3 sm_mhz@0 100\n")
    environ = {"NVML_STUB": str(scenario), "NVML_STUB_TIME": str(clock), "CUDA_VISIBLE_DEVICES": "0"}
    with simulated(Script(devices=TWO, kernel_us=KERNEL_MS * 1000), environ):
        assert milliseconds(1) == pytest.approx(KERNEL_MS, abs=0.01)
        write_time(clock, 2)
        assert milliseconds(1) == pytest.approx(KERNEL_MS * 1600 / 1200, abs=0.01)


def test_a_lost_gpu_answers_no_call(tmp_path: Path):
    scenario, clock = tmp_path / "scenario", write_time(tmp_path / "time")
    scenario.write_text("1 device !15\n")
    with simulated(SCRIPT, {"NVML_STUB": str(scenario), "NVML_STUB_TIME": str(clock)}):
        x = torch.zeros(4, device="cuda")
        write_time(clock, 1)
        for call in (torch.cuda.synchronize, lambda: x + 1, torch.cuda.Event().record, x.cpu):
            with pytest.raises(RuntimeError, match="unspecified launch failure"):
                call()


def test_a_captured_graph_is_replayed_with_one_launch():
    with simulated(Script(kernel_us=100, host_us=1000), {}):
        x = torch.zeros(4, device="cuda")
        captured = torch.cuda.CUDAGraph()
        begin, end = events()
        begin.record()
        with torch.cuda.graph(captured):
            y = (x + 1) * 2
        end.record()
        torch.cuda.synchronize()
        assert begin.elapsed_time(end) == 0  # recorded, not run
        assert milliseconds(2) == pytest.approx(2.1, abs=0.02)
        x.copy_(torch.full((4,), 3.0))
        torch.cuda.synchronize()
        begin, end = events()
        begin.record()
        captured.replay()
        end.record()
        torch.cuda.synchronize()
        assert begin.elapsed_time(end) == pytest.approx(0.2, abs=0.01)
        assert y.cpu().tolist() == [8.0] * 4


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("wait", [lambda x: x.sum().item(), lambda x: torch.cuda.synchronize()])
def test_a_capture_refuses_what_waits(cuda, wait, inference):
    x = torch.zeros(4, device="cuda")
    with (
        torch.inference_mode(inference),
        pytest.raises(RuntimeError, match="capturing"),
        torch.cuda.graph(torch.cuda.CUDAGraph()),
    ):
        wait(x)
    torch.cuda.synchronize()


def test_a_search_for_algorithms_takes_longer_once_for_each_shape():
    with simulated(Script(kernel_us=1000, search=10), {}):
        convolution = nn.Conv2d(3, 3, 3).to("cuda")
        device = open_device("cuda")
        images = [torch.rand(1, 3, size, 8, device="cuda") for size in (8, 8, 9)]
        with torch.inference_mode(), torch.backends.cudnn.flags(benchmark=True):
            found = [device.timed(lambda one=one: convolution(one))[1].ms for one in images]
            assert found == pytest.approx([10, 1, 10], rel=0.05)


def test_esr_s_device_waits_for_its_pass(cuda):
    device = open_device("auto")
    x = torch.zeros(4, device=device.torch_device)
    x.add_(1)  # pending when the clock starts
    pending = torch.cuda.Event()
    pending.record()
    (idle, result), duration = device.timed(lambda: (pending.query(), (x + 1) * 2))
    assert idle
    assert duration.ms == pytest.approx(2 * KERNEL_MS, abs=0.1)
    assert duration.wall_ms >= 2 * KERNEL_MS
    assert 0 < duration.enqueue_ms < duration.wall_ms
    assert result.tolist() == [4.0] * 4
    _, longer = device.timed(lambda: [x.add_(1) for _ in range(20)])
    assert longer.enqueue_ms < longer.ms  # the host had launched everything before the device was done
    device.reset_memory()
    y = torch.zeros(3 * MIB, dtype=torch.uint8, device=device.torch_device)
    del y
    assert torch.cuda.max_memory_allocated() >= 3 * MIB


def test_nothing_of_it_is_left_behind():
    before = {name: getattr(torch.cuda, name) for name in ("Event", "synchronize", "is_available")}
    version = torch.version.cuda
    with simulated(SCRIPT, {}):
        assert torch.cuda.is_available()
        assert torch.version.cuda
    assert {name: getattr(torch.cuda, name) for name in before} == before
    assert torch.version.cuda == version


def profiled(pass_count=1, **script):
    with simulated(Script(**script), {}):
        x = torch.zeros(1, 3, 8, 8, device="cuda")
        weights = [torch.ones(3, 3, 1, 1, device="cuda") for _ in range(pass_count)]

        def run():
            y = x
            for weight in weights:
                y = nn.functional.conv2d(y, weight)
            return y.relu() + y

        return open_device("cuda").kernels(run)


def test_the_profiler_tells_kernels_the_longest_first():
    kernels = profiled(pass_count=2)
    assert (kernels[0].name, kernels[0].calls) == ("simulated::implicit_gemm", 2)
    assert [kernel.share for kernel in kernels] == [0.5, 0.25, 0.25]


@pytest.mark.parametrize("profiler", ["silent", "refused"])
def test_a_profiler_that_tells_nothing_or_is_refused_gives_no_kernels(profiler):
    assert profiled(profiler=profiler) is None


def test_a_pass_that_fails_under_the_profiler_gives_no_kernels(cuda):
    def fail():
        raise RuntimeError("no such luck")

    assert open_device("cuda").kernels(fail) is None


def test_many_kernels_with_long_names_are_cut(cuda, monkeypatch):
    x = torch.zeros(4, device="cuda")
    device = open_device("cuda")
    original = simulation().profiled

    def renamed(func, kernel_ns):
        original(func, kernel_ns)
        profile = simulation().profile
        if profile is not None:
            profile[-1] = (f"void {len(profile):03}\x1b[31m{'<' * 500}", kernel_ns)

    monkeypatch.setattr(simulation(), "profiled", renamed)
    kernels = device.kernels(lambda: [x.add_(1) for _ in range(30)])
    assert len(kernels) == MOST_KERNELS
    assert all(kernel.name.isprintable() and len(kernel.name) <= LONGEST_KERNEL for kernel in kernels)
    assert kernels[0].share == pytest.approx(1 / 30)


def test_a_cpu_tells_no_kernels():
    assert open_device("cpu").kernels(lambda: torch.zeros(1)) is None
