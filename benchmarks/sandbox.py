"""Cost of the sandbox: seconds that a worker needs to start, and the ratio of a network inside to the same outside.

Pairs of workers, one in a sandbox and one without, are started and timed in turn. Where a process's memory lies decides
more than a turn does, so the interval is over pairs: twenty are known to about 0.8 %, sixty to 0.5 %.

  python benchmarks/sandbox.py --pairs 5
"""

import argparse
import math
import random
import statistics
import time

import numpy as np
from scipy import stats

from esr.config.compose import compose
from esr.evaluation.worker.messages import LoadRequest, OpenRequest, PassRequest
from esr.evaluation.worker.parent import Worker
from esr.records.network import Weights
from esr.sandbox.layers import Mode
from esr.sandbox.process import Wishes

PASSES = 20
TURNS = 6


def started(mode: Mode, model: str, side: int) -> tuple[Worker, float]:
    """A warm, sealed worker, and the seconds until its device was open."""
    settings = compose([f"model={model}", "device=cpu", "device.threads=1"])
    start = time.perf_counter()
    worker = Worker(600.0, Wishes(mode))
    worker.ask(OpenRequest(settings.device, settings.cudnn))
    seconds = time.perf_counter() - start
    worker.ask(LoadRequest(settings.model, Weights("random"), 0))
    worker.confirm_sandbox()
    timed(worker, side)
    worker.seal()
    return worker, seconds


def timed(worker: Worker, side: int) -> float:
    """Median milliseconds of a few passes over a square LR image, as the worker claims."""
    request = PassRequest(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8), 0)
    return statistics.median(worker.ask(request).duration.ms for _ in range(PASSES))


def main() -> None:
    """Prints both figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="rlfn")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--side", type=int, default=64, help="side of the LR image in pixels")
    options = parser.parse_args()
    order = random.Random(0)
    ratios: list[float] = []
    added: list[float] = []
    for _ in range(options.pairs):
        modes: list[Mode] = ["auto", "off"]
        order.shuffle(modes)
        workers = {mode: started(mode, options.model, options.side) for mode in modes}
        added.append(workers["auto"][1] - workers["off"][1])
        for worker, _ in workers.values():
            worker.pause()
        logs = []
        for _ in range(TURNS):
            ms = {}
            order.shuffle(modes)
            for mode in modes:
                worker = workers[mode][0]
                worker.resume()
                ms[mode] = timed(worker, options.side)
                worker.pause()
            logs.append(math.log(ms["auto"] / ms["off"]))
        ratios.append(statistics.median(logs))
        for worker, _ in workers.values():
            worker.close()
    middle, error = statistics.mean(ratios), stats.sem(ratios)
    low, high = stats.t.interval(0.95, len(ratios) - 1, middle, error)
    print(f"start: {statistics.median(added):+.3f} s (median of {options.pairs} pairs)")
    print(f"ratio with / without: {math.exp(middle):.4f} (95 % of {math.exp(low):.4f} to {math.exp(high):.4f})")


if __name__ == "__main__":
    main()
