"""A network against itself in whole default evaluations: `python benchmarks/aa.py [--runs 30] [KEY=VALUE …]`.

Each run is a command of its own, `esr model=NAME baseline=NAME`, as users give it. Asked of all: how often the 95 %
interval of the ratio holds 1.0, with the binomial interval of that share; how wide it is; and whether the candidate's
place gives it anything: ratios below 1 have to be as frequent as ratios above it. Records stay in the folder; the same
command goes on where it was interrupted. A run takes 70 to 100 s on a CPU.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from machine import describe
from rich.console import Console
from rich.table import Table
from scipy.stats import beta, binomtest

from esr.records.files import Record, load_record

NETWORKS = ("imdn", "rlfn")
UNLIKELY = 0.05
"""Probability of the sign test below which the roles are not alike."""
COLUMNS = ("runs", "hold 1.0", "95 % interval of that", "half-width", "off by (RMS)", "below 1", "sign test", "seconds")


def run(network: str, folder: Path, overrides: Sequence[str]) -> Record | None:
    """One evaluation, or its record if there is one; `None` where it failed."""
    if not (done := _record(folder)):
        words = [f"model={network}", f"baseline={network}", "weights=bundled", "baseline_weights=bundled"]
        command = [sys.executable, "-m", "esr", *words, f"out={folder}", *overrides]
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        done = _record(folder)
    return load_record(done) if done else None


def _record(folder: Path) -> Path | None:
    return next(folder.glob("outputs/**/record.json"), None)


def holding(held: int, runs: int, confidence: float = 0.95) -> tuple[float, float]:
    """Binomial interval of a share (Clopper and Pearson, Biometrika 1934)."""
    outside = (1 - confidence) / 2
    low = beta.ppf(outside, held, runs - held + 1) if held else 0.0
    high = beta.ppf(1 - outside, held + 1, runs - held) if held < runs else 1.0
    return float(low), float(high)


def row(records: Sequence[Record]) -> tuple[list[str], bool]:
    """The table's cells, and True if the intervals hold what they promise and the roles are alike."""
    ratios = [record.ratio for record in records if record.ratio is not None and record.ratio.low is not None]
    runs = len(ratios)
    held = sum(one.low <= 1.0 <= one.high for one in ratios)
    low, high = holding(held, runs)
    below = sum(one.value < 1 for one in ratios)
    sign = float(binomtest(below, runs).pvalue)
    half = np.mean([one.width * one.value / 2 for one in ratios])
    off = np.sqrt(np.mean([(one.value - 1) ** 2 for one in ratios]))
    seconds = np.median([record.document.duration_s for record in records])
    cells = [f"{runs}", f"{held / runs:.1%}", f"{low:.1%} to {high:.1%}", f"{half:.2%}", f"{off:.2%}"]
    return [*cells, f"{below} of {runs}", f"p = {sign:.2g}", f"{seconds:.0f}"], high >= 0.95 and sign >= UNLIKELY


def main() -> int:
    """Prints the table; exit code 1 where intervals hold less than they promise, or the roles differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", nargs="*", help="of the default evaluation, as data=set5")
    parser.add_argument("--runs", type=int, default=30, help="of each network (30)")
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--folder", type=Path, default=Path("build/aa"), help="keeps the records")
    options = parser.parse_args()
    screen = Console(width=160)
    found: dict[str, list[Record]] = {name: [] for name in options.networks}
    for number in range(options.runs):
        for name in options.networks:
            if record := run(name, options.folder / name / f"{number:03}", options.overrides):
                found[name].append(record)
                ratio, status = record.ratio, record.verdict.status
                shown = (
                    f"{ratio.value:.4f} ({ratio.low:.4f} to {ratio.high:.4f})" if ratio and ratio.low else "no ratio"
                )
                screen.print(f"{name} {number + 1} of {options.runs}: {shown}, {status}", highlight=False)
    table = Table(title="a network against itself, whole default evaluations")
    for column in ("network", *COLUMNS):
        table.add_column(column, justify="left" if column == "network" else "right")
    every = [record for records in found.values() for record in records]
    for name, records in (*found.items(), ("together", every)):
        if records:
            cells, fine = row(records)
            table.add_row(name, *cells)
    if not every:
        return 1
    screen.print(table, describe(every[0]), f"{os.cpu_count()} CPUs; {_statuses(every)}", sep="\n", highlight=False)
    return 0 if fine else 1


def _statuses(records: Sequence[Record]) -> str:
    statuses = [record.verdict.status for record in records]
    return ", ".join(f"{statuses.count(one)} {one}" for one in sorted(set(statuses)))


if __name__ == "__main__":
    sys.exit(main())
