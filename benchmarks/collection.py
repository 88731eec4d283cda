"""Time and memory of `esr rank` over many records: `python benchmarks/collection.py`.

Makes one record per network, as large as an evaluation over that many images and rounds writes it, and ranks them with
the installed command: wall time, peak memory, and whether torch was imported. Twice the records must take about twice
as long.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # the tests' records, built from the types

from helpers import rankings  # noqa: E402

from esr.records.files import decode, write_record  # noqa: E402

TARGET_S = 3.0
TARGET_MIB = 1024
SIZES = (2500, 5000, 10_000)
COMMAND = """
import sys
from esr.cli.command import run
run(["rank", sys.argv[1], "--format", sys.argv[2], "--out", sys.argv[3]])
print("torch" if "torch" in sys.modules else "no torch")
"""


def generate(folder: Path, count: int, images: int, rounds: int, seed: int = 0) -> int:
    """Writes `count` records; returns their bytes."""
    random = np.random.default_rng(seed)
    total = 0
    for number in range(count):
        made = rankings.document(
            f"net{number:05}",
            float(random.lognormal(-0.5, 0.4)),
            rounds=rounds,
            seed=number,
            params=int(random.integers(100_000, 900_000)),
            flops=int(random.integers(10**10, 6 * 10**10)),
            macs=int(random.integers(10**10, 6 * 10**10)),
            activations=int(random.integers(10**7, 10**9)),
        )
        made["data"]["images"] = [
            {"name": f"{image:04}.png", "lr_shape": [339, 510], "lr_sha256": f"{image:064x}"} for image in range(images)
        ]
        for network in made["networks"].values():
            network["quality"]["images"] = [network["quality"]["mean"]] * images
        rankings.retime(made, made["timing"]["ratio_per_round"])
        file = write_record(decode(json.dumps(made).encode()), folder / f"{number:05}").path
        total += file.stat().st_size
    return total


def measure(folder: Path, form: str) -> tuple[float, str]:
    """Seconds of `esr rank` over a folder, and `torch` if it was imported."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, str(folder), form, str(folder / "ranking.txt")],
        capture_output=True,
        text=True,
        check=True,
    )
    return time.perf_counter() - start, done.stdout.strip()


def main() -> int:
    """Prints the table; the exit code is 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5, help="images of each record (5)")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of each record (10)")
    parser.add_argument("--format", default="csv", help="as for esr rank (csv)")
    options = parser.parse_args()
    print(f"{'records':>8} {'MB':>8} {'s':>6} {'µs/record':>10} {'peak MiB':>9}")
    within = True
    for count in SIZES:
        with tempfile.TemporaryDirectory() as name:
            total = generate(Path(name), count, options.images, options.rounds)
            seconds, torch = measure(Path(name), options.format)
        # Sizes grow, so the largest child so far is this one.
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        each = seconds / count * 1e6
        print(f"{count:8} {total / 1e6:8.1f} {seconds:6.2f} {each:10.0f} {peak:9.0f}  {torch}")
        within &= seconds < TARGET_S and peak < TARGET_MIB and torch == "no torch"
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
