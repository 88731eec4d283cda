"""Error that one pair of processes cannot see. `python benchmarks/processes.py`, on a CPU; eleven minutes.

Where a process's code and memory came to lie is chance, stays for as long as it lives, and is worth a percent. Pairs of
fresh processes measure IMDN against itself; of what they measured, as many rounds are drawn from one pair, from two
and from more, and each time it is asked whether the 95 % interval holds 1.0.
"""

import argparse

import numpy as np
from kernels import SUMMED_UP, measure, summed_up
from machine import describe, tables
from rich.console import Console
from rich.table import Table

from esr.timing import statistics

DRAWS = 200
SIZES = (1, 2, 4, 6)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=30, help="of rounds, in each pair (30)")
    options = parser.parse_args()
    record = measure(options.pairs, options.seconds)
    candidate, baseline = tables(record)
    process = np.asarray(record.document.timing.process_of_round)
    rounds_of = [np.flatnonzero(process == one) for one in range(options.pairs)]
    budget = min(len(rounds) for rounds in rounds_of)
    table = Table(title=f"IMDN against itself, {budget} rounds from so many pairs of {options.pairs}")
    for column in ("pairs", *SUMMED_UP):
        table.add_column(column, justify="right")
    random = np.random.default_rng(0)
    for size in SIZES:
        found = []
        for draw in range(DRAWS if size > 1 else options.pairs):
            pairs = random.choice(options.pairs, size, replace=False) if size > 1 else [draw]
            rows = np.concatenate([rounds_of[pair][: budget // size] for pair in pairs])
            groups = process[rows].tolist() if size > 1 else None
            found.append(statistics.ratio(candidate[rows], baseline[rows], 0.95, groups))
        table.add_row(str(size), *summed_up(found))
    Console().print(table, describe(record))


if __name__ == "__main__":
    main()
