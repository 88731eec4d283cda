"""One evaluation on the host and in the container, also with fewer threads and under a quota: does the ratio hold?

python benchmarks/environments.py esr:cpu [--engine podman] [--option=--runtime=runc ...] [OVERRIDE ...]
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from esr.records import Record, load_record

EVALUATION = ("model=rlfn", "data.limit=2", "weights=bundled", "baseline_weights=bundled")


@dataclass(frozen=True)
class Place:
    """Where the evaluation runs: on the host, or in a container with these options."""

    name: str
    container: tuple[str, ...] | None
    overrides: tuple[str, ...] = ()


PLACES = (
    Place("host", None),
    Place("container", ()),
    Place("host, one thread", None, ("device.threads=1",)),
    Place("container, one thread", (), ("device.threads=1",)),
    Place("container, quota of one core", ("--cpus=1",)),
)


def main() -> None:
    """Runs all places in turn and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image")
    parser.add_argument("--engine", default="docker", help="docker or podman, with options")
    parser.add_argument("--option", action="append", default=[], help="of the engine's run")
    options, overrides = parser.parse_known_args()
    engine = [*shlex.split(options.engine), "run", "--rm", "--network=none", "--user=0:0", *options.option]
    with tempfile.TemporaryDirectory() as folder:
        records = [_run(place, engine, options.image, overrides, Path(folder)) for place in PLACES]
        print("| where | IMDN, ms | RLFN, ms | ratio | 95 % interval | `esr compare` with the host |")
        print("|---|---:|---:|---:|---|---|")
        for place, record in zip(PLACES, records, strict=True):
            print(_row(place, record, records[0]))


def _run(place: Place, engine: list[str], image: str, overrides: list[str], folder: Path) -> Record:
    out = folder / place.name.replace(" ", "_").replace(",", "")
    out.mkdir()
    words = [*EVALUATION, *place.overrides, *overrides]
    if place.container is None:
        command = [str(Path(sys.executable).with_name("esr")), *words, f"out={out}"]
    else:
        command = [*engine, *place.container, f"--volume={out}:/out", image, *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (path,) = out.rglob("record.json")
    return load_record(path)


def _row(place: Place, record: Record, first: Record) -> str:
    networks = (record.baseline, record.candidate)
    ms = [f"{network['timing']['ms_per_image']['value']:.1f}" for network in networks]
    ratio = record.ratio or {}
    compared = subprocess.run(
        [str(Path(sys.executable).with_name("esr")), "compare", str(first.path), str(record.path)],
        capture_output=True,
        text=True,
        check=False,
    )
    verdict = {0: "same", 3: "different", 4: "can't tell"}.get(compared.returncode, compared.stderr.strip())
    interval = f"{ratio['low']:.3f} to {ratio['high']:.3f}"
    return f"| {place.name} | {ms[0]} | {ms[1]} | {ratio['value']:.3f} | {interval} | {verdict} |"


if __name__ == "__main__":
    main()
