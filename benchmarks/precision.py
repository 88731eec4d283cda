"""Precision gained per second of measuring: `python benchmarks/precision.py`.

Two networks are measured in paired rounds for a few minutes. From the same passes three ways of spending a time budget
are made up, many times over: paired rounds; independent runs, where the baseline's rounds come from another time than
the candidate's; and a single pass of each at different times. Printed is how far the ratios of such measurements
scatter, as the range that holds 95 % of them, beside the interval that paired rounds claim.
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
from esr.timing import statistics

BUDGETS = (6, 12, 24, 48)
"""Rounds per measurement."""


def scatter(ratios: list[float]) -> float:
    """Half of the range that holds 95 % of the ratios, relative to their median."""
    low, middle, high = np.quantile(ratios, [0.025, 0.5, 0.975])
    return float((high - low) / 2 / middle)


def of_budget(candidate: np.ndarray, baseline: np.ndarray, rounds: int) -> tuple[float, float, float]:
    """Claimed half-width of paired rounds, scatter of paired rounds, scatter of independent runs."""
    starts = range(0, len(candidate) - 2 * rounds + 1, max(1, rounds // 2))
    claimed, paired, independent = [], [], []
    for start in starts:
        now, later = slice(start, start + rounds), slice(start + rounds, start + 2 * rounds)
        estimate = statistics.ratio(candidate[now], baseline[now], 0.95)
        claimed.append((estimate.high - estimate.low) / 2 / estimate.value)
        paired.append(estimate.value)
        medians = [float(np.median(table.sum(axis=1))) for table in (candidate[now], baseline[later])]
        independent.append(medians[0] / medians[1])
    return float(np.mean(claimed)), scatter(paired), scatter(independent)


def single_pass(candidate: np.ndarray, baseline: np.ndarray, apart: int) -> float:
    """Scatter of one pass of each network, the baseline's that many rounds later."""
    sums = candidate.sum(axis=1)[:-apart], baseline.sum(axis=1)[apart:]
    return scatter([float(c / b) for c, b in zip(*sums, strict=True)])


def main() -> int:
    """Prints the table for a quiet machine and for a disturbed one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=600)
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--side", type=int, default=32, help="LR side in pixels")
    parser.add_argument("--model", default="rlfn")
    parser.add_argument("--baseline", default="imdn")
    options = parser.parse_args()
    table = Table(title=f"{options.model} / {options.baseline}: how well a budget pins the ratio down (±, 95 %)")
    for column in ("machine", "rounds", "seconds", "paired: claimed", "paired", "independent", "single pass"):
        table.add_column(column, justify="left" if column == "machine" else "right")
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_images(Path(scratch) / "images", options.images, options.side)
        words = [
            f"model={options.model}",
            f"baseline={options.baseline}",
            "data=folder",
            f"data.root={folder}",
        ]
        words += ["weights=random", "baseline_weights=random", "device.threads=1", "telemetry=off"]
        for label, load in (("quiet", nullcontext()), ("load on one core", disturbance())):
            with load:
                record = esr.evaluate([*words, f"timing.rounds={options.rounds}", "timing.max_seconds=1e6"])
            candidate, baseline = tables(record)
            seconds = (candidate.sum() + baseline.sum()) / 1000 / options.rounds
            for rounds in BUDGETS:
                claimed, paired, independent = of_budget(candidate, baseline, rounds)
                alone = single_pass(candidate, baseline, rounds)
                shares = (f"{share * 100:.2f} %" for share in (claimed, paired, independent, alone))
                table.add_row(label, str(rounds), f"{rounds * seconds:.1f}", *shares)
    Console(width=120).print(table, describe(record), sep="\n", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
