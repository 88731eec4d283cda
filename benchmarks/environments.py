"""One evaluation on the host and in the container, also with one thread and under a quota: does the ratio hold?

python benchmarks/environments.py esr:cpu [--model imdn_nb7] [--engine podman] [--option=--ulimit=nproc=1024:1024 ...]
    [OVERRIDE ...]
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from machine import describe, write_images

from esr.records.files import Record, load_record
from esr.records.network import Estimate

EVALUATION = ("baseline_weights=bundled", "data=folder", "timing.block_s=0.1", "timing.processes=3")
"""Short turns: a shared machine changes its speed within seconds, which the networks must share."""


@dataclass(frozen=True)
class Place:
    """Place of the evaluation: on the host, or in a container with these options; and what it is held against."""

    name: str
    container: tuple[str, ...] | None
    overrides: tuple[str, ...] = ()
    against: str = "host"


PLACES = (
    Place("host", None),
    Place("container", ()),
    Place("host, one thread", None, ("device.threads=1",)),
    Place("container, one thread", (), ("device.threads=1",), "host, one thread"),
    Place("container, quota of one core", ("--cpus=1",)),
)


def main() -> None:
    """Runs all places in turn and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image")
    parser.add_argument("--model", default="rlfn", help="held against IMDN (rlfn)")
    parser.add_argument("--weights", default="bundled", help="the model's (bundled); random ones take as long")
    parser.add_argument("--engine", default="docker", help="docker or podman, with options")
    parser.add_argument("--option", action="append", default=[], help="of the engine's run")
    parser.add_argument("--seconds", type=float, default=25, help="of rounds, in each of three processes (25)")
    parser.add_argument("--side", type=int, default=96, help="LR side of both images, in pixels (96)")
    options, overrides = parser.parse_known_args()
    engine = [*shlex.split(options.engine), "run", "--rm", "--network=none", *options.option]
    model = (f"model={options.model}", f"weights={options.weights}")
    words = [*model, *EVALUATION, f"timing.max_seconds={3 * options.seconds:g}", *overrides]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder / "images", count=2, lr_side=options.side)
        records = [_run(place, engine, options.image, words, folder) for place in PLACES]
        print(f"{describe(records[0])}; two images of {options.side}×{options.side} (LR)\n")
        print(f"| where | imdn, ms | {options.model}, ms | ratio | 95 % interval | by `esr compare` |")
        print("|---|---:|---:|---:|---|---|")
        taken = {place.name: record for place, record in zip(PLACES, records, strict=True)}
        for place in PLACES:
            print(_row(place, taken))


def _run(place: Place, engine: list[str], image: str, words: list[str], folder: Path) -> Record:
    out = folder / place.name.replace(" ", "_").replace(",", "")
    out.mkdir()
    words = [*words, *place.overrides]
    images = folder / "images"
    print(f"{place.name} …", file=sys.stderr)
    if place.container is None:
        command = [str(Path(sys.executable).with_name("esr")), *words, f"data.root={images}", f"out={out}"]
    else:
        mounts = [
            f"--volume={out}:/out",
            f"--volume={images}:/images:ro",
            f"--user={os.getuid()}:{os.getgid()}",
        ]
        command = [*engine, *place.container, *mounts, image, *words, "data.root=/images"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (path,) = out.rglob("record.json")
    return load_record(path)


def _row(place: Place, taken: dict[str, Record]) -> str:
    record, other = taken[place.name], taken[place.against]
    networks = (record.baseline, record.candidate)
    ms = [f"{network.timing.runtime_ms.value:.1f}" for network in networks]
    ratio = record.ratio or Estimate(float("nan"))
    compared = subprocess.run(
        [str(Path(sys.executable).with_name("esr")), "compare", str(other.path), str(record.path)],
        capture_output=True,
        text=True,
        check=False,
    )
    verdict = {0: "same", 3: "different", 4: "inconclusive"}.get(compared.returncode, compared.stderr.strip())
    interval = "too few rounds" if ratio.low is None else f"{ratio.low:.3f} to {ratio.high:.3f}"
    judged = "" if record is other else f"{verdict}: {place.against}"
    return f"| {place.name} | {ms[0]} | {ms[1]} | {ratio.value:.3f} | {interval} | {judged} |"


if __name__ == "__main__":
    main()
