"""Time and live memory of each network beside a literal run of its computation graph.

    python benchmarks/networks.py                     all networks, some minutes on a quiet machine
    python benchmarks/networks.py --networks imdn rlfn --rounds 40

Both run on the same input with the same synthetic weights. A round times the two one after the other, in an order
that is drawn anew; the ratio is the median over the rounds' ratios, so that a slow stretch of the machine hits
both. The graphs are reference data, not part of the repository: ../shared/reference, or --reference FOLDER.
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from hydra.utils import get_class
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from helpers.literal import LiteralGraph, run_and_weigh  # noqa: E402 - beside the tests, which use them too
from helpers.synthetic import (  # noqa: E402
    configurations,
    load_synthetic,
    published_entries,
    published_state,
    reference_name,
)

from esr.config.schema import ModelConf  # noqa: E402
from esr.networks import devices  # noqa: E402

MIB = 2**20
WARMUP = 3
"""Runs of each before the clock counts."""
MEDIAN_LIMIT, SINGLE_LIMIT = 1.00, 1.05
"""Limits for the median over the networks and for each network."""

Run = Callable[[Tensor], Tensor]


def main() -> int:
    """Prints the table; returns 1 if a network is slower or needs more memory than its graph."""
    networks = configurations()
    parser = argparse.ArgumentParser(description="Compares each network with its graph.")
    parser.add_argument("--networks", nargs="+", default=list(networks), choices=list(networks), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=20, help="pairs of runs for each network (20)")
    parser.add_argument("--threads", type=int, default=1, help="of torch (1)")
    parser.add_argument("--reference", type=Path, default=ROOT.parent / "shared" / "reference")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    devices.keep_freed_memory()
    print("| network | literal [ms] | ours [ms] | time ratio | literal [MiB] | ours [MiB] |")
    print("|---|---:|---:|---:|---:|---:|")
    ratios, more_memory = {}, []
    for name in options.networks:
        ours, literal, x = pair(networks[name], options.reference)
        times = interleaved(ours, literal, x, options.rounds)
        ratios[name] = statistics.median(own / other for own, other in times)
        mine, others = (run_and_weigh(network, x)[1] for network in (ours, literal))
        if mine > others:
            more_memory.append(name)
        own, other = (1e3 * statistics.median(column) for column in zip(*times, strict=True))
        print(
            f"| {name} | {other:.1f} | {own:.1f} | {ratios[name]:.3f} | {others / MIB:.2f} | {mine / MIB:.2f} |",
            flush=True,
        )
    return verdict(ratios, more_memory)


def pair(model: ModelConf, reference: Path) -> tuple[Run, Run, Tensor]:
    """A network, its graph with the same weights, and the input that the graph describes."""
    text = (reference / "graphs" / f"{reference_name(model)}.txt").read_text()
    network = get_class(model._target_)(**model.args).eval().requires_grad_(False)
    shapes = {key: shape for key, shape, floating in published_entries(text) if floating}
    load_synthetic(network, model.checkpoint, shapes)
    graph = LiteralGraph(text, published_state(text, network, model.checkpoint))
    x = torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0)) * model.data_range
    return network, graph, x


def interleaved(ours: Run, literal: Run, x: Tensor, rounds: int) -> list[tuple[float, float]]:
    """Seconds of the network and of its graph, round by round."""
    order = random.Random(0)
    times = []
    with torch.inference_mode():
        for index in range(WARMUP + rounds):
            runs = [ours, literal]
            ours_first = order.random() < 0.5
            first, second = (seconds(run, x) for run in (runs if ours_first else reversed(runs)))
            if index >= WARMUP:
                times.append((first, second) if ours_first else (second, first))
    return times


def seconds(run: Run, x: Tensor) -> float:
    """Duration of one run."""
    start = time.perf_counter()
    run(x)
    return time.perf_counter() - start


def verdict(ratios: dict[str, float], more_memory: list[str]) -> int:
    """Says how the networks fare against the limits; 0 if all is well."""
    median = statistics.median(ratios.values())
    slow = [name for name, ratio in ratios.items() if ratio > SINGLE_LIMIT]
    print(f"\nmedian time ratio {median:.3f} (at most {MEDIAN_LIMIT:.2f})")
    print(f"slower than {SINGLE_LIMIT:.2f}: {', '.join(slow) or 'none'}")
    print(f"more memory than the graph: {', '.join(more_memory) or 'none'}")
    return int(median > MEDIAN_LIMIT or bool(slow) or bool(more_memory))


if __name__ == "__main__":
    sys.exit(main())
