"""Cost of reading one record, and of the shortest command: `python benchmarks/reading.py`.

Decodes and checks a record of about 300 kB in memory, and starts `esr --help`; prints the medians beside their limits.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))  # for the tests' records, which are built from the record's types

from helpers import rankings  # noqa: E402

from esr.records.files import decode  # noqa: E402

BYTES = 300_000
LIMIT_MS = {"decode and check": 1.0, "esr --help": 300.0}


def record(size: int) -> bytes:
    """A record with as many samples as make it larger than `size` bytes."""
    made: dict[str, Any] = rankings.document()
    passes = 0
    while len(raw := json.dumps(made).encode()) < size:
        passes += 500
        for network in made["networks"].values():
            timing = network["timing"]
            timing["passes"] = passes
            timing["samples"] = {
                column: [False] * passes
                if column in ("altered", "outlier")
                else [100.123456 + one / 7 if "ms" in column else one for one in range(passes)]
                for column in timing["samples"]
            }
    return raw


def milliseconds(run: Callable[[], object], repetitions: int) -> float:
    """Median wall time of a call."""
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        run()
        times.append((time.perf_counter() - start) * 1e3)
    return median(times)


def main() -> int:
    """Prints the figures; the exit code is 1 where a limit is exceeded."""
    raw = record(BYTES)
    command = [str(Path(sys.executable).with_name("esr")), "--help"]
    found = {
        "decode and check": milliseconds(lambda: decode(raw), 200),
        "esr --help": milliseconds(lambda: subprocess.run(command, check=True, capture_output=True), 10),
    }
    print(f"record of {len(raw) / 1e3:.0f} kB")
    for name, value in found.items():
        print(f"{name:18} {value:8.2f} ms (at most {LIMIT_MS[name]:g} ms)")
    return int(any(found[name] > LIMIT_MS[name] for name in found))


if __name__ == "__main__":
    sys.exit(main())
