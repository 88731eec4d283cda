"""Whether a waiting worker disturbs the one that is measured: `python benchmarks/silence.py`.

One worker is timed in turns: alone, and beside a second worker that has just run the same network and now waits, as in
an evaluation. The ratio of the two has to lie within 1.00 ± 0.005.
"""

import argparse
import statistics
import sys
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from esr.composition import compose
from esr.worker.parent import Worker
from esr.worker.protocol import pack
from esr.zoo import WeightsFile

TOLERANCE = 0.005


def ready(config: Any, side: int) -> Worker:
    """A worker with the network and one image."""
    worker = Worker(600.0)
    worker.ask("open", config=OmegaConf.to_container(config))
    weights = WeightsFile("random").as_dict()
    worker.ask("load", model=OmegaConf.to_container(config.model), weights=weights, seed=0)
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    worker.ask("image", image=pack(pixels))
    timed(worker, 20)
    return worker


def timed(worker: Worker, passes: int) -> float:
    """Median milliseconds of so many passes."""
    worker.ask("prepare", passes=[{"image": 0, "alteration": None}] * passes)
    answer = worker.ask("time", check=None, seed=0)
    return statistics.median(duration["device_ms"] for duration in answer["durations"])


def main() -> int:
    """Prints the ratio; exit code 1 where it is out of tolerance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=30)
    parser.add_argument("--passes", type=int, default=25, help="of each turn")
    parser.add_argument("--side", type=int, default=48, help="LR side in pixels")
    parser.add_argument("--model", default="rlfn")
    options = parser.parse_args()
    config = compose([f"model={options.model}", "device=cpu"])
    ratios = []
    with ready(config, options.side) as measured:
        for turn in range(options.turns):
            figures = {}
            for beside in (turn % 2 == 0, turn % 2 == 1):
                if beside:
                    with ready(config, options.side) as waiting:
                        timed(waiting, 3)
                        waiting.pause()
                        figures[True] = timed(measured, options.passes)
                else:
                    figures[False] = timed(measured, options.passes)
            ratios.append(figures[True] / figures[False])
    ratio = statistics.median(ratios)
    error = 1.4826 * statistics.median(abs(r - ratio) for r in ratios) / len(ratios) ** 0.5
    print(
        f"{options.model}, beside a waiting worker / alone: {ratio:.4f} ± {2 * error:.4f} ({len(ratios)} turns)"
    )
    return 0 if abs(ratio - 1) <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
