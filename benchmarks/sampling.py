"""Cost of telemetry to the network being timed: `python benchmarks/sampling.py`.

As in an evaluation, the work runs in a process of its own and the sampler in its waiting parent. Short blocks with and
without telemetry alternate, the order within each pair shuffled, so that both see the machine at nearly the same speed.
The samplers run at their fastest there, so that each block holds a sample and its cost stands out; a sample costs the
same at any pace, so at the default pace the cost is smaller by as much as samples are rarer. That has to stay below
0.5 % with the whole of its interval, by the child's own clock. The work keeps every core busy, so that the sampler has
none to itself: the worst case.

With `--gpu UUID` (or NVML's index) the GPU is sampled as well; the work stays on the CPU.
"""

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import bootstrap

from esr.config.telemetry import TelemetryConf
from esr.telemetry import host
from esr.telemetry.sampler import FASTEST_HZ, TIME
from esr.telemetry.watch import Watch

MOST = 0.005
"""The share of a run's time that sampling may cost."""
WARM_UP = 5
"""Pairs that are not counted."""
FEWEST = 10
"""Pairs without which nothing is said."""
FAST = TelemetryConf(host_hz=FASTEST_HZ, gpu_hz=FASTEST_HZ, max_share=1.0)
OFF = TelemetryConf(enabled=False)
DEFAULT = TelemetryConf()
BORDERS = 2
"""Samples of the host at the borders of a block, outside of the child's clock."""
WORK = """
import sys, time
import numpy as np
random = np.random.default_rng(0)
a = random.standard_normal((384, 384), np.float32)
for line in sys.stdin:
    seconds, passes = float(line), 0
    if seconds > 0:  # how many passes take that long
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            a @ a
            passes += 1
        print(passes, flush=True)
        continue
    start = time.perf_counter()
    for _ in range(int(-seconds)):
        a @ a
    print(time.perf_counter() - start, flush=True)
"""
"""Reads a number per line: seconds to calibrate for, or, negative, passes to time."""
GPU_WORK = WORK.replace(
    """import numpy as np
random = np.random.default_rng(0)
a = random.standard_normal((384, 384), np.float32)
""",
    """import torch
b = torch.rand(384, 384, device="cuda")
class Launches:  # twenty small kernels, which a driver that is busy with NVML would hold up
    def __matmul__(self, _):
        for _ in range(20):
            b @ b
        torch.cuda.synchronize()
a = Launches()
""",
)
"""The same with launches on a GPU."""


class Work:
    """The child process that stands for a network."""

    def __init__(self, source: str = WORK) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, number: float) -> float:
        """Sends a number and waits for the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        """Ends the child."""
        self.process.communicate()


@dataclass(frozen=True)
class Block:
    """One block: its seconds by the child's clock, and what sampling did meanwhile."""

    seconds: float
    samples: dict[str, int]
    """Of each sampler within the child's clock."""
    cost_s: float
    """CPU seconds."""


def block(work: Work, passes: int, conf: TelemetryConf, gpu: str | int | None) -> Block:
    """Runs one block under a watch of its own."""
    with Watch(conf, gpu, lambda: [work.process.pid]) as watch:
        with watch.window(0, images=passes):
            seconds = work.ask(-passes)
        found = watch.finish()
    if not conf.enabled:
        return Block(seconds, {}, 0.0)
    (window,) = found.telemetry.load_windows()
    within = [sample for sample in found.samples if window.start <= sample[TIME] <= window.end]
    counts = {"host": sum(host.TOTAL in sample for sample in within) - BORDERS}
    if gpu is not None:
        counts["gpu"] = max(0, len(within) - counts["host"] - 2 * BORDERS)
    gpu_cost = found.telemetry.gpu.sampling.cpu_s if found.telemetry.gpu else 0.0
    return Block(seconds, counts, found.telemetry.host.cpu_s + gpu_cost)


def paired(
    run_s: float, block_s: float, gpu: str | int | None, seed: int, source: str = WORK
) -> tuple[list[Block], list[Block]]:
    """Blocks with and without telemetry, pair by pair, until the time is spent."""
    order = random.Random(seed)
    work = Work(source)
    blocks: dict[bool, list[Block]] = {True: [], False: []}
    try:
        work.ask(1.0)
        passes = max(1, int(work.ask(1.0) * block_s))
        end = time.monotonic() + run_s
        while time.monotonic() < end:
            for enabled in order.sample([True, False], 2):
                blocks[enabled].append(block(work, passes, FAST if enabled else OFF, gpu))
    finally:
        work.close()
    return blocks[True][WARM_UP:], blocks[False][WARM_UP:]


def amplification(on: Sequence[Block]) -> float:
    """Density of the samples as a multiple of the default; of the sampler for which it is least."""
    seconds = sum(one.seconds for one in on)
    pace = {"host": DEFAULT.host_hz, "gpu": DEFAULT.gpu_hz}
    return min(sum(one.samples[name] for one in on) / seconds / pace[name] for name in on[0].samples)


def main() -> int:
    """Prints the table; exit code 1 where sampling costs too much, or that could not be told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=200.0, help="of the whole run (%(default)s)")
    parser.add_argument("--block", type=float, default=0.15, help="seconds of one block (%(default)s)")
    parser.add_argument("--gpu", help="UUID or NVML's index of a GPU to sample as well")
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    gpu = int(words.gpu) if words.gpu and words.gpu.isdigit() else words.gpu
    on, off = paired(words.seconds, words.block, gpu, words.seed)
    if len(on) < FEWEST:
        parser.error(f"--seconds {words.seconds:g}: {len(on)} pairs fit into them; take more")
    with_s, without_s = (np.array([one.seconds for one in blocks]) for blocks in (on, off))
    ratios = with_s / without_s
    interval = bootstrap(
        (ratios,), np.median, method="percentile", rng=np.random.default_rng(words.seed)
    ).confidence_interval
    denser = amplification(on)
    if denser <= 0:
        parser.error(f"--block {words.block:g}: no sample fell into a block; take longer ones")
    fast = [float(np.median(ratios)) - 1, interval.low - 1, interval.high - 1]
    table = Table("", "median", "95 % interval", title=f"{len(on)} pairs of blocks of {words.block:g} s")
    table.add_row("without telemetry, s", f"{np.median(without_s):.4f}", "")
    table.add_row("with telemetry, s", f"{np.median(with_s):.4f}", "")
    for label, scale in (
        (f"cost at {denser:.1f} times the default pace", 1.0),
        ("cost at the default pace", denser),
    ):
        value, low, high = (f"{100 * share / scale:.3f} %" for share in fast)
        table.add_row(label, value, f"{low} to {high}")
    share = sum(one.cost_s for one in on) / with_s.sum() / denser
    table.add_row("CPU time of the samplers, of one core", f"{100 * share:.3f} %", "")
    console = Console()
    console.print(table)
    kept = fast[2] / denser < MOST
    told = "below" if kept else "not shown to be below"
    console.print(f"cost {told} {100 * MOST:.1f} %")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
