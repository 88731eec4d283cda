"""Cost of the sandbox: seconds that a worker needs to start, and the ratio of a network inside to the same outside.

Pairs of workers, one in a sandbox and one without, are started and timed in turn.

  python benchmarks/sandbox.py --pairs 5
"""

import argparse
import random
import statistics
import time

import numpy as np

from esr.config.compose import compose
from esr.evaluation.worker.messages import ImageRequest, LoadRequest, OpenRequest, PrepareRequest, TimeRequest
from esr.evaluation.worker.parent import Worker
from esr.records.network import Weights
from esr.sandbox.layers import Mode
from esr.sandbox.process import Wishes
from esr.timing.schedule import Pass

PASSES = 20
TURNS = 6


def started(mode: Mode, model: str, side: int) -> tuple[Worker, float]:
    """A warm, sealed worker, and the seconds until its device was open."""
    settings = compose([f"model={model}", "device=cpu", "device.threads=1"])
    start = time.perf_counter()
    worker = Worker(600.0, Wishes(mode))
    worker.ask(OpenRequest(settings))
    seconds = time.perf_counter() - start
    worker.ask(LoadRequest(settings.model, Weights("random"), 0))
    worker.ask(ImageRequest(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)))
    timed(worker)
    worker.confirm_sandbox()
    worker.seal()
    return worker, seconds


def timed(worker: Worker) -> float:
    """Median milliseconds of a few passes."""
    worker.ask(PrepareRequest((Pass(0),) * PASSES))
    return statistics.median(duration.ms for duration in worker.ask(TimeRequest(PASSES)).durations)


def main() -> None:
    """Prints both figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="rlfn")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--side", type=int, default=64, help="side of the LR image in pixels")
    options = parser.parse_args()
    order = random.Random(0)
    ratios, added = [], []
    for _ in range(options.pairs):
        modes: list[Mode] = ["auto", "off"]
        order.shuffle(modes)
        workers = {mode: started(mode, options.model, options.side) for mode in modes}
        added.append(workers["auto"][1] - workers["off"][1])
        for worker, _ in workers.values():
            worker.pause()
        for _ in range(TURNS):
            ms = {}
            order.shuffle(modes)
            for mode in modes:
                worker = workers[mode][0]
                worker.resume()
                ms[mode] = timed(worker)
                worker.pause()
            ratios.append(ms["auto"] / ms["off"])
        for worker, _ in workers.values():
            worker.close()
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"start: {statistics.median(added):+.3f} s (median of {options.pairs} pairs)")
    print(f"ratio with / without: {middle:.4f} (quartiles {low:.4f} to {high:.4f} of {len(ratios)} turns)")


if __name__ == "__main__":
    main()
