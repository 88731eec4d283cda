"""Share of an evaluation's time that is forward passes, by stage: `python benchmarks/efficiency.py [SCENARIO …]`.

Each scenario is a fresh process, timed from its start, as from Enter: a tiny and a real network, small images and
images of DIV2K's size, on the CPU and on a simulated GPU (`tests/helpers/cuda_stub`, whose host work is a CPU's).
`zoo` runs every bundled network on the demo, or on `--data`, after the others.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from gpu_rows import forward_s
from machine import write_images
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
TINY = "import torch\nfrom torch import nn\n\n\nclass Tiny(nn.Sequential):\n    def __init__(self):\n" \
       "        super().__init__(nn.Conv2d(3, 48, 3, padding=1), nn.PixelShuffle(4))\n"  # fmt: skip
OWN = ["model=tiny.yaml", "baseline=tiny.yaml", "weights=random", "baseline_weights=random", "data=folder"]
BUNDLED = ["weights=bundled", "baseline_weights=bundled"]
SIDES = {"small": 64, "large": 416}
"""LR side in pixels; the large one has the area of DIV2K's images."""


@dataclass
class Clock:
    """Seconds of each stage, by its title's first words; an `esr.system.progress.Progress`."""

    since: float
    stages: dict[str, float] = field(default_factory=dict)
    first_timed: float | None = None
    _title: str = "start"

    def stage(self, title: str, _: int | None) -> None:
        """Ends the stage before."""
        now = time.time()
        self.stages[self._title] = self.stages.get(self._title, 0.0) + now - self.since
        self.since = now
        self._title = title.partition(",")[0].partition(":")[0]
        if self._title == "timing" and self.first_timed is None:
            self.first_timed = sum(self.stages.values())

    def advance(self, steps: int = 1) -> None:
        """Shows nothing."""

    def at(self, done: int, steps: int | None) -> None:
        """Shows nothing."""


def measure(words: list[str]) -> None:
    """One evaluation in this process; prints its seconds as JSON."""
    from esr.config.compose import compose  # noqa: PLC0415 - its import counts
    from esr.evaluation.evaluate import evaluate  # noqa: PLC0415

    started = psutil.Process().create_time()
    clock = Clock(started)
    record = evaluate(compose([*words, "force=true"]), Path("result"), clock)
    clock.stage("end", None)
    timed = sum(sum(one.timing.load_samples().ms) for one in (record.candidate, record.baseline) if one.timing) / 1000
    passes = forward_s(record)
    total = time.time() - started
    print(json.dumps({"total": total, "timed": timed, "passes": passes, "first": clock.first_timed,
                      "stages": clock.stages, "status": record.verdict.status}))  # fmt: skip


def scenarios(images: int) -> dict[str, list[str]]:
    """Name -> overrides."""
    small, large = (f"data.root={name}" for name in SIDES)
    return {
        "rlfn, demo, default": ["model=rlfn", *BUNDLED],
        "rlfn, demo, quick": ["model=rlfn", *BUNDLED, "timing=quick"],
        "tiny, small, quick": [*OWN, small, "timing=quick"],
        f"tiny, {images} large, quick": [*OWN, large, f"data.limit={images}", "timing=quick"],
        "tiny, small, quick, simulated GPU": [*OWN, small, "timing=quick", "device=cuda"],
    }


def simulated() -> dict[str, str]:
    """The environment of a process with a simulated GPU, on which each operator takes a millisecond."""
    sys.path.insert(0, str(ROOT / "tests"))
    from helpers.cuda_stub import environment  # noqa: PLC0415 - not needed for a CPU
    from helpers.cuda_stub.simulated_cuda import DeviceScript, Script  # noqa: PLC0415

    return environment(Script((DeviceScript("GPU-5f3c1a2b-0000-4000-8000-000000000001"),), kernel_us=1000))


def in_fresh_process(words: list[str], folder: Path) -> dict:
    """The scenario's seconds."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))}
    if "device=cuda" in words:
        env |= simulated()
        env["PYTHONPATH"] = os.pathsep.join([str(ROOT), env["PYTHONPATH"]])
    command = [sys.executable, __file__, "--one", json.dumps(words)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wanted", nargs="*", help="scenarios whose names begin so; all by default")
    parser.add_argument("--images", type=int, default=100, help="large ones (100)")
    parser.add_argument("--zoo", action="store_true", help="also all bundled networks with timing=quick")
    parser.add_argument("--data", default="demo", help="of --zoo, as set5")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(json.loads(options.one))
        return
    table = Table(title="share of the wall time that is forward passes")
    for column in ("scenario", "seconds", "timed", "with warm-up", "first timed pass after", "stages, s"):
        table.add_column(column, justify="left" if column in ("scenario", "stages, s") else "right")
    chosen = scenarios(options.images)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "tiny.py").write_text(TINY)
        (folder / "tiny.yaml").write_text("_target_: tiny.Tiny\n")
        for name, side in SIDES.items():
            write_images(folder / name, options.images if name == "large" else 4, side)
        for name, words in chosen.items():
            if not options.wanted or any(name.startswith(one) for one in options.wanted):
                found = in_fresh_process(words, folder)
                shares = (f"{found[key] / found['total']:.0%}" for key in ("timed", "passes"))
                stages = ", ".join(f"{key} {value:.1f}" for key, value in found["stages"].items() if value >= 0.1)
                table.add_row(name, f"{found['total']:.1f}", *shares, f"{found['first']:.1f} s", stages)
        Console(width=200).print(table)
        if options.zoo:
            words = ["-m", "model=glob(*)", "timing=quick", f"data={options.data}", *BUNDLED]
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-m", "esr", *words, f"out={folder / 'zoo'}"], cwd=folder, check=False)
            print(f"every network, timing=quick, data={options.data}: {time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
