"""What telemetry costs the network that is timed: `python benchmarks/sampling.py`.

As in an evaluation, the work runs in a process of its own and the sampler in its waiting parent. Blocks with and
without telemetry alternate, the order within each pair shuffled; the ratio of their times, as the child's own clock
has them, has to stay below 1.005 with the whole of its interval. The work keeps every core busy, so that the sampler
has none to itself: the worst case.

With `--gpu UUID` (or NVML's index) the GPU is sampled as well; the work stays on the CPU.
"""

import argparse
import random
import subprocess
import sys

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import bootstrap

from esr.telemetry.conf import TelemetryConf
from esr.telemetry.watch import Telemetry

MOST = 1.005
"""The ratio that sampling may cost."""
WARM_UP = 3
"""Pairs that are not counted."""
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


class Work:
    """The child process that stands for a network."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
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


def block(work: Work, passes: int, conf: TelemetryConf, gpu: str | int | None) -> tuple[float, float]:
    """Seconds of one block as the child has them, and CPU seconds that went into sampling meanwhile."""
    with Telemetry(conf, gpu, lambda: [work.process.pid]) as watch:
        with watch.window(0, images=passes):
            seconds = work.ask(-passes)
        summary = watch.finish().summary
    parts = [summary.get("host"), summary.get("gpu")]
    return seconds, sum(part["sampling"]["cpu_s"] for part in parts if part)


def paired(
    pairs: int, seconds: float, gpu: str | int | None, seed: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Times with and without telemetry, pair by pair, and the share of one core that sampling used."""
    order = random.Random(seed)
    work = Work()
    try:
        work.ask(seconds)
        passes = int(work.ask(seconds))
        times: dict[bool, list[float]] = {True: [], False: []}
        spent = 0.0
        for number in range(pairs + WARM_UP):
            for enabled in order.sample([True, False], 2):
                taken, cost = block(work, passes, TelemetryConf(enabled=enabled), gpu)
                if number >= WARM_UP:
                    times[enabled].append(taken)
                    spent += cost
    finally:
        work.close()
    on, off = np.array(times[True]), np.array(times[False])
    return on, off, spent / on.sum()


def main() -> int:
    """Prints the table; exit code 1 where sampling costs too much, or that could not be told."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pairs", type=int, default=60, help="blocks with and without telemetry (%(default)s)"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="of one block (%(default)s)")
    parser.add_argument("--gpu", help="UUID or NVML's index of a GPU to sample as well")
    parser.add_argument("--seed", type=int, default=0)
    words = parser.parse_args()
    gpu = int(words.gpu) if words.gpu and words.gpu.isdigit() else words.gpu
    on, off, share = paired(words.pairs, words.seconds, gpu, words.seed)
    ratios = on / off
    interval = bootstrap((ratios,), np.median, rng=np.random.default_rng(words.seed)).confidence_interval
    table = Table(
        "", "median", "95 % interval", title=f"{words.pairs} pairs of blocks of {words.seconds:g} s"
    )
    table.add_row("without telemetry, s", f"{np.median(off):.4f}", "")
    table.add_row("with telemetry, s", f"{np.median(on):.4f}", "")
    table.add_row("ratio", f"{np.median(ratios):.4f}", f"{interval.low:.4f} to {interval.high:.4f}")
    table.add_row("CPU time of the samplers, of one core", f"{100 * share:.2f} %", "")
    console = Console()
    console.print(table)
    kept = interval.high < MOST
    told = "below" if kept else "not shown to be below"
    console.print(f"cost {told} {100 * (MOST - 1):.1f} %")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
