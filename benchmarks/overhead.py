"""Cost of the harness itself: `python benchmarks/overhead.py`.

First, the milliseconds that a worker reports against a bare loop over the same tensors in the same process, turn by
turn: the ratio has to lie within 1.00 ± 0.02. Second, the wall time of a whole evaluation against the sum of the
forward passes in its record.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import esr
from esr.config.compose import compose
from esr.evaluation.worker.child import Child
from esr.evaluation.worker.messages import LoadRequest, OpenRequest, PassRequest
from esr.images.pixels import ImageArray
from esr.networks import inference
from esr.records.network import Weights

TOLERANCE = 0.02
WARM_UP = 3
"""Turns per size that are not counted."""
SIZES = ((24, 32), (64, 64), (96, 96))


def reported_against_bare(
    model: str, rounds: int, device: str = "cpu", sizes: Sequence[tuple[int, int]] = SIZES
) -> list[tuple[str, float, float, float]]:
    """Per LR size: median milliseconds of a bare loop and as reported, and the median of the rounds' ratios."""
    settings = compose([f"model={model}", f"device={device}"])
    child = Child()
    child.handle(OpenRequest(settings.device, settings.cudnn))
    child.handle(LoadRequest(settings.model, Weights("random"), 0))
    random = np.random.default_rng(0)
    rows = []
    for height, width in sizes:
        image = random.integers(0, 256, (height, width, 3), np.uint8)
        lr = inference.to_tensor(image, settings.model.data_range, child.device.torch_device)
        reported: list[float] = []
        bare: list[float] = []
        with torch.inference_mode():
            for number in range(rounds + WARM_UP):
                for bare_turn in (number % 2 == 0, number % 2 == 1):
                    if bare_turn:
                        bare.append(_bare(child, lr))
                    else:
                        reported.append(_reported(child, image))
        reported, bare = reported[WARM_UP:], bare[WARM_UP:]
        ratio = statistics.median(r / b for r, b in zip(reported, bare, strict=True))
        rows.append((f"{height}×{width}", statistics.median(bare), statistics.median(reported), ratio))
    return rows


def _reported(child: Child, image: ImageArray) -> float:
    return child.run_pass(PassRequest(image, 0)).duration.ms


def _bare(child: Child, lr: torch.Tensor) -> float:
    if lr.is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    child.network(lr)
    if lr.is_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1000


def share_of_forward_passes(overrides: list[str]) -> tuple[float, float]:
    """Seconds of a whole evaluation, and of the timed and warm-up passes in it."""
    start = time.perf_counter()
    record = esr.evaluate(overrides)
    wall = time.perf_counter() - start
    passes = 0.0
    for network in (record.candidate, record.baseline):
        passes += sum(network.timing.load_samples().wall_ms)
        passes += sum(sum(entry.ms) for entry in network.timing.load_warmup())
    return wall, passes / 1000


def main() -> int:
    """Prints both tables; exit code 1 where a ratio is out of bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="rlfn")
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    console = Console()
    rows = reported_against_bare(options.model, options.rounds)
    title = f"{options.model}: reported by a worker against a bare loop, {options.rounds} interleaved rounds"
    table = Table(title=title)
    for column in ("LR", "bare [ms]", "reported [ms]", "ratio"):
        table.add_column(column, justify="right")
    for size, bare, reported, ratio in rows:
        table.add_row(size, f"{bare:.3f}", f"{reported:.3f}", f"{ratio:.4f}")
    console.print(table)
    wall, passes = share_of_forward_passes(
        [f"model={options.model}", "weights=random", "baseline_weights=random", "device=cpu"]
    )
    console.print(f"whole evaluation {wall:.1f} s, forward passes in it {passes:.1f} s: {100 * passes / wall:.0f} %")
    return 0 if all(abs(row[-1] - 1) <= TOLERANCE for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
