"""Effect of random variation in compiled kernels on a pair of processes. `python benchmarks/kernels.py`, on a CPU.

oneDNN compiles a kernel per convolution and shape, which may come out a tenth faster or slower and stays so until it
is dropped. Pairs of fresh processes measure IMDN against itself, on the demo images, with every core: once with the
kernels that each process happens to get, and once with new ones in each round. Of each pair it is asked
whether its 95 % interval holds 1.0.
"""

import argparse

import numpy as np
from machine import describe, tables
from rich.console import Console
from rich.table import Table

import esr
from esr.evaluation import rounds as measuring
from esr.records.files import Record
from esr.records.network import Estimate
from esr.timing import statistics

SUMMED_UP = ("intervals that hold 1.0", "half-width", "off by (RMS)")


def measure(pairs: int, seconds: float) -> Record:
    """As many fresh pairs of processes, each for so long."""
    return esr.evaluate(
        ["model=imdn", "baseline=imdn", "weights=bundled", "baseline_weights=bundled", "data=demo",
         "timing.precision=0.0001", f"timing.max_seconds={seconds * pairs}", f"timing.processes={pairs}",
         "telemetry=off"]
    )  # fmt: skip


def judge(record: Record, pairs: int) -> tuple[str, str, str]:
    """Each pair's ratio, as `summed_up`."""
    confidence = record.document.timing.confidence
    candidate, baseline = tables(record)
    process = np.asarray(record.document.timing.process_of_round)
    return summed_up(
        [statistics.ratio(candidate[process == one], baseline[process == one], confidence) for one in range(pairs)]
    )


def summed_up(found: list[Estimate]) -> tuple[str, str, str]:
    """Of ratios whose truth is 1: how many intervals hold it, their mean half-width, and the deviation from it."""
    held = np.mean([one.low <= 1.0 <= one.high for one in found])
    width = np.mean([(one.high - one.low) / 2 for one in found])
    off = np.sqrt(np.mean([(one.value - 1) ** 2 for one in found]))
    return f"{held:.0%}", f"{width:.2%}", f"{off:.2%}"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=20, help="of rounds, in each pair (20)")
    options = parser.parse_args()
    table = Table(title=f"IMDN against itself, {options.pairs} pairs of fresh processes, {options.seconds:g} s each")
    table.add_column("kernels")
    for column in SUMMED_UP:
        table.add_column(column, justify="right")
    for name, share in (("as each process got them", 0), ("new in each round", float("inf"))):
        measuring.RENEWAL_SHARE = share
        record = measure(options.pairs, options.seconds)
        table.add_row(name, *judge(record, options.pairs))
    Console().print(table, describe(record))


if __name__ == "__main__":
    main()
