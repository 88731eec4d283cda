"""Evaluations on simulated GPUs, from the command line to record, ranking and report, while the GPU misbehaves.

A scenario's time is that of the timed blocks: block N lasts from N to N + 0.5, and before the first it is negative.
Durations are the script's, however busy this machine is: a pass takes as many milliseconds as it has operators.
Passes are long against the sampling of their outputs, whose operators take as long each.
"""

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.cases import with_slow
from helpers.command import Run
from helpers.cuda_stub import environment as cuda_environment
from helpers.cuda_stub.simulated_cuda import DeviceScript, Script
from helpers.nvml_stub import UUIDS, write_time
from helpers.nvml_stub import environment as nvml_environment
from helpers.participants import make_participant

from esr.records.document import Document
from esr.records.files import load_record
from esr.records.network import Block, Estimate, Network
from esr.timing.schedule import order_of, rounds

CHAIN = '''
import torch
from torch import nn


class Chain(nn.Module):
    """As many operators as asked for: two convolutions, a pixel shuffle, and activations between them.

    `waits`: it reads a result back. `start_mib`, `square_mib`: of memory, in the constructor and for square images.
    """

    def __init__(self, operators=4, channels=8, waits=False, start_mib=0, square_mib=0):
        super().__init__()
        torch.empty(start_mib << 18, device="cuda")
        self.square_mib = square_mib
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, 48, 3, padding=1)
        self.activations, self.waits = operators - 3, waits

    def forward(self, x):
        y = self.first(x)
        if self.square_mib and x.shape[2] == x.shape[3]:
            y = y + x.new_empty(self.square_mib << 18)[0] * 0
        if self.waits:
            float(y.mean())
        for _ in range(self.activations):
            y = torch.relu(y)
        return nn.functional.pixel_shuffle(self.last(y), 4)
'''
OPERATORS = {"candidate": 12, "baseline": 8}
RATIO = 1.5
KERNEL_MS = 1.0
ROUNDS = 6
BLOCKS = 2 * ROUNDS
ARGUMENTS = (
    "model=candidate.yaml",
    "baseline=baseline.yaml",
    "weights=random",
    "baseline_weights=random",
    "data=folder",
    "data.root=images",
    "timing=quick",
    f"timing.rounds={ROUNDS}",
    "device=cuda",
    "telemetry.steady_s=0.2",
    "telemetry.gpu_hz=10",
    "telemetry.max_share=1",
    "telemetry.host_load=1",
    "out=out",
)
TITAN = DeviceScript(UUIDS[0])
MIG = "MIG-5f3c1a2b-0000-4000-8000-000000000007"

Measure = Callable[..., tuple[Run, Document]]


@pytest.fixture
def measure(library: Path, tmp_path: Path, run_esr: Callable[..., Run]) -> Measure:
    """Measures one network against another on simulated devices."""
    make_participant(tmp_path)
    (tmp_path / "chain.py").write_text(CHAIN)
    for role, operators in OPERATORS.items():
        (tmp_path / f"{role}.yaml").write_text(f"_target_: chain.Chain\nargs: {{operators: {operators}}}\n")

    def run(
        scenario: str = "",
        *arguments: str,
        devices: tuple[DeviceScript, ...] = (TITAN,),
        visible: str | None = None,
        kernel_ms: float = KERNEL_MS,
        host_ms: float = 0.0,
        search: float = 1.0,
    ) -> tuple[Run, Document]:
        (tmp_path / "scenario").write_text(f"-1 energy 1\n{scenario}")
        script = Script(devices, kernel_us=kernel_ms * 1000, host_us=host_ms * 1000, launch_us=0, search=search)
        env = nvml_environment(library, tmp_path / "scenario", write_time(tmp_path / "time"))
        env |= cuda_environment(script)
        if visible is not None:
            env["CUDA_VISIBLE_DEVICES"] = visible
        done = run_esr(*ARGUMENTS, *arguments, env=env)
        assert "Traceback" not in done.err
        assert len(done.records) == 1, done.err
        return done, load_record(done.records[0]).document

    return run


def reasons(document: Document) -> set[tuple[str, str | None]]:
    """Every reason of the verdict, with the role that it concerns."""
    return {(reason.reason, reason.role) for reason in document.verdict.reasons}


def blocks(document: Document) -> list[Block]:
    """Those of both networks, in order of time."""
    networks = (document.networks.candidate, document.networks.baseline)
    found = [block for network in networks if network.timing for block in network.timing.load_blocks()]
    return sorted(found, key=lambda block: block.block)


def runtime_ms(network: Network) -> float:
    assert network.timing is not None
    return network.timing.runtime_ms.value


def ratio(document: Document) -> float:
    assert document.timing.ratio is not None
    return document.timing.ratio.value


def test_an_undisturbed_run_is_clean_and_as_fast_as_the_script_says(measure, run_esr):
    run, document = measure()
    assert run.code == 0
    assert document.verdict.status == "clean"
    assert document.verdict.reasons == ()
    assert ratio(document) == pytest.approx(RATIO, rel=1e-3)
    for role, operators in OPERATORS.items():
        network = document.networks.of(role)
        assert runtime_ms(network) == pytest.approx(operators * KERNEL_MS, rel=1e-3)
        samples = network.timing.load_samples()
        assert all(wall >= ms for wall, ms in zip(samples.wall_ms, samples.ms, strict=True))
        assert len(samples.enqueue_ms) == len(samples.ms)
        assert network.worker.device.kind == "cuda"
        assert network.memory.method == "CUDA allocator, max_memory_allocated"
        assert 0 < network.memory.memory_mib <= network.memory.reserved_mib
        kernels = {kernel.name.removeprefix("simulated::"): kernel for kernel in network.kernels}
        assert [kernel.calls for kernel in network.kernels] == [operators - 3, 2, 1]
        assert kernels["implicit_gemm"].share == pytest.approx(2 / operators)
    windows = document.telemetry.load_windows()
    assert [window.gpu_sm_mhz.median for window in windows] == [1582] * BLOCKS
    assert document.timing.cycles.ratio.value == pytest.approx(RATIO, rel=1e-3)
    assert (document.timing.cycles.rounds, document.timing.cycles.sm_mhz) == (ROUNDS, dict.fromkeys(OPERATORS, 1582))
    # Blocks as short as these have no energy.
    assert document.timing.energy is None
    assert {share.gpu for share in document.telemetry.energy_per_image.values()} == {None}
    gpu = document.telemetry.gpu
    assert (gpu.before.uuid, gpu.gone, gpu.mig) == (UUIDS[0], None, None)
    ranked = run_esr("rank", "out")
    assert ranked.code == 0
    assert "12.0" in ranked.out
    page = run_esr("rank", "out", "--format", "html", "--out", "page.html")
    assert page.code == 0, page.err
    assert "NVIDIA TITAN Xp" in (page.folder / "page.html").read_text()


def test_blocks_during_a_short_slowdown_are_measured_again(measure):
    _, document = measure("5 reasons 0x40\n5 sm_mhz 791\n6 reasons 0\n6 sm_mhz 1582")
    found = blocks(document)
    assert [block.block for block in found if block.replaced] == [4, 5]
    assert found[5].reasons == ("thermal_slowdown",)
    assert len(found) == BLOCKS + 2
    assert document.verdict.status == "clean"
    assert ratio(document) == pytest.approx(RATIO, rel=1e-3)
    assert runtime_ms(document.networks.baseline) == pytest.approx(8 * KERNEL_MS, rel=1e-3)


@pytest.mark.slow
def test_a_slowdown_that_lasts_is_tried_again_and_then_taints(measure, run_esr):
    run, document = measure("6 reasons 0x40\n6 sm_mhz 791", "timing.retries=1")
    assert run.code == 0
    assert document.verdict.status == "tainted"
    assert {("thermal_slowdown", role) for role in OPERATORS} < reasons(document)
    assert ("sm_clock_spread", None) in reasons(document)
    assert {block.block for block in blocks(document) if block.replaced} >= {6, 7}
    assert document.telemetry.run.reason_names == ("hw_thermal",)
    assert "too hot" in run.out
    assert "tainted" in run_esr("rank", "out").out


@pytest.mark.slow
def test_a_clock_that_drifts_under_both_networks_leaves_the_ratio_alone(measure):
    drift = "\n".join(f"{number} sm_mhz {1582 * 0.98**number:.0f}" for number in range(BLOCKS))
    _, document = measure(drift, "timing.retries=0")
    assert ("sm_clock_spread", None) in reasons(document)
    for role in OPERATORS:
        ms = document.networks.of(role).timing.load_samples().ms
        assert max(ms) / min(ms) > 1.15
    assert ratio(document) == pytest.approx(RATIO, rel=0.01)
    estimate = document.timing.ratio
    assert estimate.high / estimate.low < 1.05
    assert document.timing.cycles.ratio.value == pytest.approx(RATIO, rel=0.01)
    assert ("cycles_disagree", None) not in reasons(document)


@pytest.mark.slow
def test_networks_that_run_at_different_clocks_are_named_and_cycles_tell_them_apart(measure):
    # All images fit into one block.
    chunks = itertools.chain.from_iterable(itertools.islice(rounds(2, [0.01] * 3, 2.0, 0), ROUNDS))
    order = [order_of(0, 0)[network] for chunk in chunks for network in chunk.order]
    assert len(order) == BLOCKS
    clock = {"candidate": 791, "baseline": 1582}
    scenario = "\n".join(f"{number} sm_mhz {clock[role]}" for number, role in enumerate(order))
    run, document = measure(scenario, "telemetry.sm_clock_spread=1", "timing.seed=0")
    assert (document.verdict.status, reasons(document)) == ("clean", {("cycles_disagree", None)})
    assert ratio(document) == pytest.approx(2 * RATIO, rel=0.01)
    assert document.timing.cycles.ratio.value == pytest.approx(RATIO, rel=0.01)
    assert document.timing.cycles.sm_mhz == clock
    (found,) = document.verdict.reasons
    assert found.detail.endswith("791 MHz (candidate) and 1582 MHz (baseline)")
    assert "did not run at the same SM clock" in " ".join(run.out.split())


@pytest.mark.slow
def test_energy_names_its_source_and_scope_and_is_compared_with_the_baseline_s(measure, tmp_path):
    # On a GH200 the driver's counter is that of GPU and processor together. A block takes it 0.5 s · 180 W.
    images = 12  # fill the half second that an energy takes: longer kernels would make all other passes as long
    for number in range(1, images):
        shutil.copy(tmp_path / "images" / "0.png", tmp_path / "images" / f"{number}.png")
    limits = ("-v", "timing.rounds=2", "timing.warmup.max_passes=2")
    run, document = measure("-1 module_power_w 400", *limits, kernel_ms=5.5)
    for role in OPERATORS:
        energy = document.telemetry.energy_per_image[role].gpu
        assert (energy.method, energy.scope, energy.joules_per_image) == (
            "counter",
            "module",
            pytest.approx(90 / images, rel=0.005),
        )
    energy = document.timing.energy
    assert (energy.rounds, energy.method, energy.scope) == (2, "counter", "module")
    assert energy.ratio == Estimate(pytest.approx(1.0, rel=0.01))
    assert "energy [J/image], GPU and its module" in run.out


def test_memory_is_the_peak_over_the_data_set_as_the_challenge_prints_it_and_reset_for_each_network(measure, tmp_path):
    (tmp_path / "candidate.yaml").write_text("_target_: chain.Chain\nargs: {start_mib: 64, square_mib: 4}\n")
    _, document = measure("", "timing.rounds=1", "timing.warmup.max_passes=2")
    candidate, baseline = document.networks.candidate.memory, document.networks.baseline.memory
    assert 4 < candidate.memory_mib < 5
    assert baseline.memory_mib < 1
    # The largest image is not square; the peak is that of another one.
    assert (candidate.lr_shape, baseline.lr_shape) == (None, None)


def test_another_process_on_the_gpu_taints(measure):
    # More than there are workers: in a container only their number tells.
    run, document = measure("-1 processes 4000001,4000002,4000003")
    assert run.code == 0
    assert (document.verdict.status, reasons(document)) == ("tainted", {("other_process", None)})
    assert document.telemetry.gpu.before.processes == (4000001, 4000002, 4000003)
    assert ratio(document) == pytest.approx(RATIO, rel=1e-3)
    assert "another process" in run.out


def test_a_gpu_that_is_lost_fails_both_networks_and_leaves_what_was_measured(measure):
    run, document = measure("7 device !15")
    assert run.code == 1
    assert document.verdict.status == "failed"
    assert ("not_watched", None) in reasons(document)
    assert document.telemetry.gpu.gone == "GPU is lost"
    for role, operators in OPERATORS.items():
        network = document.networks.of(role)
        assert "CUDA error" in network.failure.message
        assert network.failure.stage in ("pass", "sample")
        assert runtime_ms(network) == pytest.approx(operators * KERNEL_MS, rel=1e-3)
        assert network.quality.images
    assert max(block.block for block in blocks(document)) < 7


def test_a_network_that_runs_out_of_memory_fails_alone(measure, tmp_path):
    (tmp_path / "candidate.yaml").write_text("_target_: chain.Chain\nargs: {channels: 4096}\n")
    run, document = measure(devices=(DeviceScript(UUIDS[0], memory_mib=8),))
    assert run.code == 1
    candidate, baseline = document.networks.candidate, document.networks.baseline
    assert (candidate.failure.kind, baseline.failure) == ("out_of_memory", None)
    assert runtime_ms(baseline) == pytest.approx(8 * KERNEL_MS, rel=1e-3)
    assert document.timing.ratio is None
    assert "out of memory" in run.err.lower() + run.out.lower()


OTHER_WAY_ROUND = (DeviceScript(UUIDS[1], "Second", nvml_index=1), DeviceScript(UUIDS[0], "First", nvml_index=0))
"""In CUDA's order, the fastest first; NVML orders them by their place on the bus."""


@pytest.mark.parametrize(
    ("visible", "arguments", "nvml_index"),
    with_slow([("1", (), 0), (UUIDS[1], (), 1), (None, ("device.index=1",), 0)], {UUIDS[1], "1"}),
    ids=["CUDA_VISIBLE_DEVICES=1", "by UUID", "device.index=1"],
)
def test_the_gpu_that_is_watched_is_the_one_that_computes(measure, visible, arguments, nvml_index):
    other = 1 - nvml_index
    scenario = f"-1 count 2\n-1 name@0 First\n-1 name@1 Second\n-1 sm_mhz@{nvml_index} 1400\n0 reasons@{other} 0x40"
    _, document = measure(scenario, *arguments, devices=OTHER_WAY_ROUND, visible=visible)
    before, device = document.telemetry.gpu.before, document.networks.candidate.worker.device
    assert before.uuid == f"GPU-{device.uuid}" == UUIDS[nvml_index]
    assert before.name == device.name == ("First", "Second")[nvml_index]
    assert document.telemetry.run.gpu_sm_mhz.median == 1400
    assert document.verdict.status == "clean"


@pytest.mark.slow
def test_a_mig_device_is_watched_through_its_gpu_and_said_to_be_one(measure):
    gpu = DeviceScript(UUIDS[1], "NVIDIA A100 MIG 1g.5gb", nvml_index=1, mig=("MIG-other", MIG))
    scenario = f"-1 count 2\n-1 mig@1 MIG-other,{MIG}\n-1 sm_mhz@1 1410\n-1 name@1 NVIDIA A100\n0 reasons@0 0x40"
    run, document = measure(scenario, devices=(gpu,), visible=MIG)
    watched = document.telemetry.gpu
    assert document.networks.candidate.worker.device.uuid == MIG.removeprefix("MIG-")
    assert (watched.mig, watched.before.uuid, watched.before.name) == (MIG, UUIDS[1], "NVIDIA A100")
    assert [window.gpu_sm_mhz.median for window in document.telemetry.load_windows()] == [1410] * BLOCKS
    assert (document.verdict.status, reasons(document)) == ("clean", {("mig_device", None)})
    assert "MIG device" in run.out


@pytest.mark.slow
def test_a_throttled_gpu_is_noticed_from_its_mig_device(measure):
    gpu = DeviceScript(UUIDS[0], "NVIDIA A100 MIG 1g.5gb", mig=(MIG,))
    _, document = measure(f"-1 mig {MIG}\n0 reasons 0x40", "timing.retries=0", devices=(gpu,))
    assert document.verdict.status == "tainted"
    assert ("thermal_slowdown", "candidate") in reasons(document)


@pytest.mark.slow
def test_a_mig_device_whose_gpu_is_unknown_is_named_as_not_watched(measure):
    gpu = DeviceScript(UUIDS[0], "NVIDIA A100 MIG 1g.5gb", mig=(MIG,))
    run, document = measure(f"-1 mig {MIG}\n-1 mig_parent !999", devices=(gpu,))
    assert (document.verdict.status, reasons(document)) == ("clean", {("not_watched", None)})
    assert f"the GPU of {MIG} was not found" in " ".join(run.out.split())


@pytest.mark.slow
def test_a_gpu_that_waits_for_its_launches_is_named(measure):
    run, document = measure("", "-v", kernel_ms=0.1, host_ms=1.0)
    assert (document.verdict.status, reasons(document)) == ("clean", {("launch_bound", role) for role in OPERATORS})
    for role, operators in OPERATORS.items():
        network = document.networks.of(role)
        assert runtime_ms(network) == pytest.approx(1.0 * operators + 0.1, rel=1e-3)
        samples = network.timing.load_samples()
        assert all(1.0 * operators <= enqueue for enqueue in samples.enqueue_ms)
    assert "measure the host" in run.out


@pytest.mark.slow
def test_a_search_for_algorithms_is_over_before_the_first_timed_pass(measure):
    # The second process sees the larger shape in its warm-up for the first time.
    _, document = measure("", "cudnn.benchmark=true", "timing.processes=2", search=10)
    assert document.verdict.status == "clean"
    for role, operators in OPERATORS.items():
        network = document.networks.of(role)
        assert network.worker.cudnn.benchmark
        assert [kernel.calls for kernel in network.kernels if kernel.name == "simulated::winograd_3x3"] == [2]
        warm_up = next(one for one in network.timing.load_warmup() if (one.process, one.lr_shape) == (1, (16, 24)))
        first, *others = warm_up.ms
        assert first > 2 * max(others)
        samples = network.timing.load_samples()
        assert max(samples.ms) == pytest.approx(operators * KERNEL_MS, rel=1e-3)
    assert ratio(document) == pytest.approx(RATIO, rel=1e-3)


def test_the_challenge_s_protocol_times_one_pass_with_everything_in_it(measure, tmp_path):
    (tmp_path / "candidate.yaml").write_text("_target_: chain.Chain\nargs: {operators: 12, start_mib: 64}\n")
    _, document = measure("", "timing=ntire2022", "cudnn.benchmark=true", "timing.rounds=1", search=10)
    for role, operators in OPERATORS.items():
        network = document.networks.of(role)
        samples = dict(zip(network.timing.load_samples().image, network.timing.load_samples().ms, strict=True))
        plain = operators * KERNEL_MS
        # The first image has a new shape, the second another one; the third is of the first one's.
        assert [samples[image] for image in range(3)] == pytest.approx([plain + 18 * KERNEL_MS] * 2 + [plain], rel=1e-3)
        assert network.memory.method == "CUDA allocator, max_memory_allocated"
        assert network.memory.memory_mib < 1  # of the passes; the constructor's has been freed
        assert network.memory.lr_shape is None


@pytest.mark.slow
def test_replays_of_a_graph_leave_the_host_out(measure):
    _, document = measure("", "timing.cuda_graph=true", kernel_ms=0.5, host_ms=0.75)
    assert (document.verdict.status, document.verdict.reasons) == ("clean", ())
    for role, operators in OPERATORS.items():
        network = document.networks.of(role)
        assert runtime_ms(network) == pytest.approx(operators * 0.5, rel=1e-3)
        assert network.output_check.compared > 0
    assert ratio(document) == pytest.approx(RATIO, rel=1e-3)


@pytest.mark.slow
def test_a_network_that_cannot_be_captured_is_timed_without_and_named(measure, tmp_path):
    (tmp_path / "candidate.yaml").write_text("_target_: chain.Chain\nargs: {operators: 12, waits: true}\n")
    run, document = measure("", "timing.cuda_graph=true")
    assert run.code == 0
    assert document.verdict.status == "tainted"
    # What this machine takes to read a result is no part of the script.
    by_chance = {("rounds_dependent", None), ("warmup_cap", "candidate"), ("time_unaccounted", "candidate")}
    assert reasons(document) - by_chance == {("not_captured", "candidate")}
    details = {one.reason: one.detail for one in document.verdict.reasons}
    assert "not permitted when stream is capturing" in details["not_captured"]
    assert runtime_ms(document.networks.candidate) > 12.9 * KERNEL_MS
    assert runtime_ms(document.networks.baseline) == pytest.approx(8 * KERNEL_MS, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("device=cpu", "timing.cuda_graph=true"), "needs a GPU"),
        (("timing=ntire2022", "timing.rounds=1", "timing.cuda_graph=true"), "not with timing.protocol=single"),
    ],
)
def test_a_graph_where_there_can_be_none_is_refused_in_one_line(measure, run_esr, arguments, words):
    run = run_esr(*[word for word in ARGUMENTS if not word.startswith("device")], *arguments)
    assert run.code == 2
    assert "Traceback" not in run.err
    assert words in run.err


def test_the_doctor_sees_the_simulated_gpus_as_it_would_real_ones(library, tmp_path, run_esr):
    (tmp_path / "scenario").write_text("-1 count 2\n-1 sm_mhz@0 600\n-1 default_power_limit_w@0 300\n")
    env = nvml_environment(library, tmp_path / "scenario") | cuda_environment(Script(OTHER_WAY_ROUND))
    run = run_esr("doctor", "--quick", "--format", "json", env=env)
    found = {one["check"]: (one["status"], one["message"]) for one in json.loads(run.out)["findings"]}
    assert found["gpu"] == ("ok", "Second, compute capability 6.1")
    assert found["kernels"] == ("ok", "torch has kernels for compute capability 6.1")
    assert found["driver"] == ("ok", "driver 560.35.03 supports CUDA 12.6, torch is built with 12.6")
    assert found["nvml"] == ("ok", "2 GPU(s) monitored through NVML")
    assert found["one gpu"][0] == "warn"
    # CUDA's first GPU is NVML's second, which nothing holds down.
    assert found["clocks"] == ("ok", "nothing holds GPU 1's clock down")
    assert found["alone"] == ("ok", "no other process computes on GPU 1")
