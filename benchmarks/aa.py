"""One network against itself, many times: do the intervals hold 1.0 as often as they say? `python benchmarks/aa.py`.

Two workers with the same network run short paired measurements one after the other, once on a quiet machine and once
with a load that comes and goes on one core. Of each short measurement it is asked whether the 95 % interval of the
ratio holds 1.0: at least 92 % have to. Beside it, from the very same passes, stands what a single pass of each network
over the images would have said, as the challenge's script takes it: how often it calls the network different from
itself by more than 1 %. (Its passes are warm here, which flatters it.)
"""

import argparse
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from machine import describe, disturbance, tables, write_images
from rich.console import Console
from rich.table import Table

import esr
from esr.records.files import Record
from esr.timing import statistics

COVERAGE = 0.92
DIFFERENT = 0.01
"""Ratio's distance from 1 above which a single pass calls the networks different."""


def measure(folder: Path, runs: int, rounds: int, model: str) -> Record:
    """All runs in one pair of workers: so many rounds in a row."""
    return esr.evaluate(
        [
            f"model={model}",
            f"baseline={model}",
            "weights=random",
            "baseline_weights=random",
            "data=folder",
            f"data.root={folder}",
            f"timing.rounds={runs * rounds}",
            "timing.max_seconds=1e6",
            "device.threads=1",
            "telemetry=off",
        ]
    )


def judge(record: Record, runs: int, rounds: int) -> tuple[float, float, float, float]:
    """Coverage of 1.0, mean half-width, rate of wrong calls by single passes, and those passes' spread."""
    both = tables(record)
    held, widths, single = 0, [], []
    for run in range(runs):
        candidate, baseline = (table[run * rounds : (run + 1) * rounds] for table in both)
        estimate = statistics.ratio(candidate, baseline, record.document.timing.confidence)
        held += estimate.low <= 1.0 <= estimate.high
        widths.append((estimate.high - estimate.low) / 2)
        single.append(float(statistics.ratio_per_round(candidate[:1], baseline[:1])[0]))
    distances = np.abs(np.array(single) - 1)
    return held / runs, float(np.mean(widths)), float(np.mean(distances > DIFFERENT)), float(np.std(single))


def main() -> int:
    """Prints the table; exit code 1 where the intervals do not hold what they promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=8, help="rounds of each run")
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--side", type=int, default=32, help="LR side in pixels")
    parser.add_argument("--model", default="rlfn")
    options = parser.parse_args()
    table = Table(title=f"{options.model} against itself, {options.runs} runs of {options.rounds} rounds")
    table.add_column("machine")
    for column in ("intervals that hold 1.0", "half-width", "single pass off by > 1 %", "single pass σ"):
        table.add_column(column, justify="right")
    coverages = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_images(Path(scratch) / "images", options.images, options.side)
        for label, load in (("quiet", nullcontext()), ("load on one core", disturbance())):
            with load:
                record = measure(folder, options.runs, options.rounds, options.model)
            coverage, half, wrong, spread = judge(record, options.runs, options.rounds)
            coverages.append(coverage)
            table.add_row(label, *(f"{share * 100:.1f} %" for share in (coverage, half, wrong, spread)))
    Console(width=120).print(table, describe(record), sep="\n", highlight=False)
    return 0 if min(coverages) >= COVERAGE else 1


if __name__ == "__main__":
    sys.exit(main())
