"""Steps of `gpu_check.py` that use a GPU in their own process; each prints its result as one line of JSON.

`python benchmarks/gpu_steps.py outputs|harness|judge|sampling …`
"""

import importlib
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import overhead
import sampling
import torch
from gpu_rows import NO_JUDGE
from scipy.stats import bootstrap

from esr.config.compose import compose
from esr.errors import EsrError
from esr.networks import build as networks
from esr.networks import devices
from esr.records.network import Weights
from esr.zoo import weights as zoo

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(os.environ.get("ESR_GOLDEN", ROOT.parent / "shared" / "reference" / "golden"))
"""Outputs of the published weights on the CPU, one `.npz` for each network, if there are any."""
PASSES = 30


def network_on(name: str, device: torch.device) -> tuple[torch.nn.Module, bool]:
    """A network on a device, with its published weights where they are there; True if they are."""
    model = compose([f"model={name}"]).model
    network = networks.build(model)
    try:
        weights = zoo.resolve(model, "published")
    except EsrError:
        weights = Weights("random")
    networks.load(network, model, weights, 0)
    return network.to(device).eval(), weights.source == "published"


def golden_of(name: str) -> Path | None:
    """The golden output of a network, if it is there."""
    team = compose([f"model={name}"]).model.team_id
    file = GOLDEN / (f"team{team:02}.npz" if team is not None and team > 0 else f"{name}.npz")
    return file if file.is_file() else None


def outputs(names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Largest difference of each network's output on the GPU, as a fraction of its range, by its measure."""
    devices.apply_switches(benchmark=False, deterministic=False, allow_tf32=False)
    cuda, found = torch.device("cuda", 0), {"the goldens": {}, "the CPU": {}}
    image = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)
    for name in names:
        on_gpu, published = network_on(name, cuda)
        data_range = compose([f"model={name}"]).model.data_range
        golden = golden_of(name) if published else None
        if golden is not None:
            with np.load(golden) as file:
                image, expected = file["input"], file["output"]
        x = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float() * (data_range / 255)
        with torch.inference_mode():
            output = on_gpu(x.to(cuda)).cpu().numpy()
            if golden is None:
                expected = network_on(name, torch.device("cpu"))[0](x).numpy()
        part = found["the CPU" if golden is None else "the goldens"]
        part[name] = float(np.abs(output - expected.reshape(output.shape)).max() / np.ptp(expected))
    return {source: part for source, part in found.items() if part}


def harness(side: str) -> dict[str, Any]:
    """Milliseconds as a worker reports them against a bare loop in the same process, turn by turn."""
    size = int(side)
    return {"rows": overhead.reported_against_bare("rlfn", PASSES, "cuda", ((size, size),))}


def judge(side: str) -> dict[str, Any]:
    """Milliseconds of one pass of RLFN: the median by the clock of `esr`, and that of cuda-bench's cold passes."""
    try:
        bench = importlib.import_module("cuda.bench")
        bench.State  # noqa: B018 - from cuda-bench 0.3 on this loads its library
    except ModuleNotFoundError:
        return {"missing": NO_JUDGE}
    except ImportError as error:
        return {"missing": f"cuda-bench cannot be loaded: {error}"}
    device = devices.open_device("cuda")
    network, _ = network_on("rlfn", device.torch_device)
    lr = torch.rand(1, 3, int(side), int(side), device=device.torch_device)
    with torch.inference_mode():
        for _ in range(PASSES):
            network(lr)
        ours = statistics.median(device.timed(lambda: network(lr))[1].ms for _ in range(PASSES))
        return {"esr_ms": ours, "judge_ms": by_cuda_bench(bench, lambda: network(lr))}


def by_cuda_bench(bench: ModuleType, run: Callable[[], object]) -> float:
    """Median milliseconds on the first GPU by cuda-bench, from its report; the mean before its version 0.3.

    It empties the L2 cache before each pass; `sync`, since a pass that waits for its own result would never end.

    Raises:
        RuntimeError: It skipped the benchmark.
    """

    def one_pass(state: Any) -> None:
        stream = torch.cuda.ExternalStream(state.get_stream().addressof())

        def launch(_: object) -> None:
            with torch.cuda.stream(stream), torch.inference_mode():
                run()

        launch(None)
        torch.cuda.synchronize()
        state.exec(launch, batched=False, sync=True)

    bench.register(one_pass)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        # Without a choice it goes through all GPUs, on which the network is not.
        bench.run_all_benchmarks(["gpu_steps", "--devices", "0", "--json", str(report), "--timeout", "10"])
        (state,) = json.loads(report.read_text())["benchmarks"][0]["states"]
    if state["is_skipped"]:
        raise RuntimeError(f"cuda-bench skipped the pass: {state['skip_reason']}")
    found = {one["tag"]: one["data"] for one in state["summaries"]}
    data = found.get("nv/cold/time/gpu/median") or found["nv/cold/time/gpu/mean"]
    seconds = next(float(entry["value"]) for entry in data if entry["name"] == "value")
    return seconds * 1000


def sampled(seconds: str) -> dict[str, Any]:
    """Cost of telemetry for work on the GPU, at the default pace: median and upper end of its interval."""
    uuid = str(torch.cuda.get_device_properties(0).uuid)
    for block_s in (0.25, 1.0):  # a moment's disturbance may have made the first blocks too short for any sample
        on, off = sampling.paired(float(seconds), block_s, uuid, 0, sampling.GPU_WORK)
        denser = sampling.amplification(on)
        if denser > 0:
            break
    ratios = np.array([one.seconds / other.seconds for one, other in zip(on, off, strict=True)])
    if denser <= 0:
        raise ValueError(f"no sample fell into {len(on)} blocks")
    high = bootstrap((ratios,), np.median, method="percentile", rng=np.random.default_rng(0)).confidence_interval.high
    return {"cost": (float(np.median(ratios)) - 1) / denser, "high": (float(high) - 1) / denser, "pairs": len(on)}


STEPS: dict[str, Callable[..., Any]] = {
    "outputs": lambda *names: outputs(names),
    "harness": harness,
    "judge": judge,
    "sampling": sampled,
}

if __name__ == "__main__":
    print(json.dumps(STEPS[sys.argv[1]](*sys.argv[2:])))
