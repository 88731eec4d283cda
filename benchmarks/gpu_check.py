"""Everything that only a GPU can tell, in one command of about eight minutes: `make gpu-check`.

`PYTHONPATH=. python benchmarks/gpu_check.py --out FOLDER` needs no network and no installed `esr`, only its
dependencies. Each step runs in processes of its own, and its result is kept in the folder: run again, the command
repeats what failed or was not started, and nothing else, unless `esr` has changed. The folder then holds `table.md`,
`ranking.md`, `log.txt` and every record.

`--seconds` scales all steps; below half of the default they use small images and fewer networks. On simulated devices
(tests/helpers/cuda_stub) every step runs as well, but its timings say nothing, and the table says so.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import gpu_rows as rows_of
import numpy as np
from gpu_rows import AA_ROUNDS, FAILED, LEFT_OUT, NO_JUDGE, OK, SHORT, SIMULATED, Command, Row
from machine import write_images
from omegaconf import OmegaConf

from esr.config import cards
from esr.images.files import read_rgb, write_png
from esr.telemetry import environment
from esr.zoo.weights import SHIPPED, zoo_folders

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 480.0
"""Of the whole check on a GPU."""
RESERVE_S = 15.0
"""Left for the table; no step begins with less."""
AA_RUNS = 30
"""Runs of a network against itself."""
FASTEST = 10
"""Networks of the sweep."""
SMI_S = 20.0
"""Limit of `nvidia-smi`, whose word on clocks, power and temperature stands at the beginning of the log."""
PATIENCE_S = 600.0
"""Limit of a step on a simulated device, whose work the processor does; the whole check has none there."""
SMALL = 0.5
"""Fraction of the default time below which images are small and evaluations short."""
BRIEFLY_STEADY = "telemetry.steady_s=0.5"
"""For a short check, which would spend most of its time on warming up."""
SMALL_SIDE, SIDE = 24, 128
"""LR pixels."""


@dataclass(frozen=True)
class Step:
    """A part of the check."""

    name: str
    check: str
    """For the table, where the step gives no row of its own."""
    share: float
    """Limit as a fraction of the whole time; the shares of all steps together may exceed 1."""
    commands: Sequence[Sequence[str]]
    judge: Callable[[Sequence[Command]], Sequence[Row]]
    timed: bool = False
    """Its result is a matter of time, which a simulation does not tell."""


@dataclass
class Plan:
    """What the command was told, and what it found."""

    out: Path
    seconds: float
    simulated: bool
    folder: Path
    """Data set."""
    began: float = field(default_factory=time.monotonic)

    @property
    def scale(self) -> float:
        """Share of the default time."""
        return self.seconds / SECONDS

    @property
    def is_short(self) -> bool:
        """True if images are small and evaluations short."""
        return self.scale < SMALL

    @property
    def left_s(self) -> float:
        """Seconds of the check that are left."""
        return self.seconds - (time.monotonic() - self.began)

    def run_folder(self, name: str) -> Path:
        """Folder of a step's records."""
        return self.out / "runs" / name

    def esr(self, name: str, *words: str, images: Path | None = None) -> list[str]:
        """An evaluation; its folder is emptied before by `perform`."""
        folder = images or self.folder
        data = ["data=folder", f"data.root={folder}", f"data.name={folder.name}"]
        data += [BRIEFLY_STEADY] if self.is_short else []
        return [sys.executable, "-m", "esr", *data, "device=cuda", f"out={self.run_folder(name)}", *words]

    def seconds_of(self, seconds: float) -> str:
        """Override for so many seconds of rounds at the default length."""
        return f"timing.max_seconds={max(2.0, seconds * self.scale):.1f}"


def steps(plan: Plan) -> list[Step]:
    """All steps, the cheapest evidence first."""
    count, runs = max(2, round(FASTEST * plan.scale)), max(4, round(AA_RUNS * plan.scale))
    names = fastest(count)
    size = str(SMALL_SIDE if plan.is_short else SIDE)
    folder = plan.run_folder
    rlfn = (
        "model=rlfn",
        *weights_of(["rlfn"]),
        f"timing={'quick' if plan.is_short else 'default'}",
        plan.seconds_of(12),
    )
    again = [plan.esr(name, *rlfn, "cudnn.benchmark=false") for name in ("first", "second")]
    benchmark = plan.esr("benchmark", *rlfn, "cudnn.benchmark=true")
    challenge = plan.esr("challenge", "model=rlfn", *weights_of(["rlfn"]), "timing=ntire2022")
    steady = [] if plan.is_short else ["telemetry.steady_s=3"]
    sweep = plan.esr("sweep", "-m", f"model={','.join(names)}", *weights_of(names), "timing=quick", *steady)
    both = (folder("first"), folder("second"))
    return [
        Step("tests", "tests marked gpu", 0.25, [tests()], rows_of.tests),
        Step("doctor", "esr doctor", 0.12, [python("esr", "doctor", "--quick", "--format", "json")], rows_of.doctor),
        Step("outputs", "FP32 outputs", 0.15, [own("outputs", *names)], rows_of.outputs),
        Step("harness", "cost of the harness", 0.15, [own("harness", size)], rows_of.harness, timed=True),
        Step("aa", "A/A coverage", 0.3, [same(plan, runs)], partial(rows_of.same, folder("aa"), runs), timed=True),
        Step("repeat", "RLFN against IMDN, twice", 0.4, again, partial(rows_of.repeat, *both), timed=True),
        Step("benchmark", "cuDNN's search", 0.2, [benchmark], partial(rows_of.benchmark, both[0], folder("benchmark"))),
        Step(
            "challenge", "the challenge's protocol", 0.15, [challenge], partial(rows_of.challenge, folder("challenge"))
        ),
        Step("judge", "independent judge of one pass", 0.15, [own("judge", size)], rows_of.judge, timed=True),
        Step(
            "sampling",
            "cost of sampling NVML",
            0.2,
            [own("sampling", f"{max(8, 30 * plan.scale)}")],
            rows_of.sampling,
            timed=True,
        ),
        Step(
            "sweep",
            f"the {count} fastest networks",
            0.5,
            [sweep, rank(plan)],
            partial(rows_of.sweep, folder("sweep"), count),
        ),
        Step("telemetry", "telemetry in every record", 0.1, [], partial(rows_of.telemetry, plan.out / "runs")),
    ]


def python(module: str, *words: str) -> list[str]:
    """A module as a command."""
    return [sys.executable, "-m", module, *words]


def own(step: str, *words: str) -> list[str]:
    """A step of `gpu_steps.py`, which prints one line of JSON."""
    return [sys.executable, str(ROOT / "benchmarks" / "gpu_steps.py"), step, *words]


def tests() -> list[str]:
    """Tests marked `gpu`, from the files that mention the mark: collecting all takes a minute."""
    files = sorted(str(file) for file in (ROOT / "tests").rglob("test_*.py") if "mark.gpu\n" in file.read_text())
    return python("pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", *files)


def same(plan: Plan, runs: int) -> list[str]:
    """One evaluation of a network against itself, to be cut into so many runs."""
    words = ("model=rlfn", "baseline=rlfn", "weights=random", "baseline_weights=random", "timing.block_s=0.2")
    images = write_images(plan.out / "aa_images", 2, SMALL_SIDE)
    return plan.esr("aa", *words, f"timing.rounds={runs * AA_ROUNDS}", "timing.max_seconds=1e6", images=images)


def rank(plan: Plan) -> list[str]:
    """Ranks the sweep into `ranking.md`."""
    words = [str(plan.run_folder("sweep")), "--format", "markdown", "--out", str(plan.out / "ranking.md"), "--mixed"]
    return python("esr", "rank", *words)


def fastest(count: int) -> list[str]:
    """Networks with the least published runtime, those whose published weights are here first."""
    known = [(published.runtime_ms, name) for name in cards.model_names() if (published := cards.card(name).published)]
    every = [name for _, name in sorted((ms, name) for ms, name in known if ms is not None)]
    return sorted(every, key=lambda name: not has_published(name))[:count]


def has_published(name: str) -> bool:
    """True if a zoo folder holds the network's published weights."""
    file = OmegaConf.select(OmegaConf.load(cards.folder() / f"{name}.yaml"), "checkpoint.file")
    return bool(file) and any((folder / str(file)).is_file() for folder in zoo_folders())


def weights_of(names: Sequence[str]) -> list[str]:
    """Overrides of the weights: none where every network has some."""
    here = all(has_published(name) or (SHIPPED / f"{name}.safetensors").is_file() for name in names)
    return [] if here else ["weights=random"]


def perform(step: Step, plan: Plan) -> list[Row]:
    """Runs a step's commands and judges them; a step that cannot be judged has failed."""
    for command in step.commands:
        folder = next((Path(word.removeprefix("out=")) for word in command if word.startswith("out=")), None)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    limit = PATIENCE_S if plan.simulated else max(1.0, min(step.share * plan.seconds, plan.left_s))
    end = time.monotonic() + limit
    done = []
    for command in step.commands:
        done.append(execute(command, max(1.0, end - time.monotonic()), plan.out / "log.txt"))
        if done[-1].code is None:
            return [Row(step.check, f"stopped after {limit:.0f} s", "an end", FAILED)]
    try:
        found = step.judge(done)
    except Exception as error:  # whatever a broken step left behind: the next one still runs
        codes = ", ".join(str(one.code) for one in done)
        return [
            Row(step.check, f"exit codes {codes}; {type(error).__name__}: {error}; see log.txt", "a result", FAILED)
        ]
    simulated = step.timed and plan.simulated
    return [replace(row, verdict=SIMULATED) if simulated and row.verdict in (OK, SHORT) else row for row in found]


def execute(command: Sequence[str], limit_s: float, log: Path) -> Command:
    """Runs one command in the repository; its output goes to the log as well."""
    print(f"  {' '.join(Path(word).name if word == sys.executable else word for word in command)}", flush=True)
    env = {**os.environ, "ESR_OFFLINE": "1", "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    start, before = time.monotonic(), sum(os.times()[2:4])
    with subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            out, err = process.communicate(timeout=limit_s)
            code: int | None = process.returncode
        except subprocess.TimeoutExpired:
            process.terminate()  # an evaluation ends its workers and then itself
            try:
                out, err = process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
            code = None
    took = f"{time.monotonic() - start:.1f} s, {sum(os.times()[2:4]) - before:.1f} s of processor time"
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(command)}\n{out}{err}--- exit code {code} after {took}\n\n")
    return Command(code, out)


def signature(plan: Plan, device: dict[str, Any]) -> str:
    """Changes where kept results are no longer those of this check: another `esr`, GPU, torch, length or data."""
    parts = [device["version"], device["gpu"]["uuid"], plan.seconds, str(plan.folder)]
    digest = hashlib.sha256(json.dumps(parts).encode())
    for room in ("esr", "models", "conf", "benchmarks"):
        for file in sorted((ROOT / room).rglob("*")):
            if file.suffix in (".py", ".yaml"):
                digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def kept(file: Path, sign: str) -> list[Row] | None:
    """The rows of a step that is done; `None` where it has to run (again)."""
    if not file.exists():
        return None
    found = json.loads(file.read_text())
    rows = [Row(**row) for row in found["rows"]]
    return None if found["signature"] != sign or any(row.verdict in (FAILED, LEFT_OUT) for row in rows) else rows


def check(plan: Plan, device: dict[str, Any]) -> list[Row]:
    """Every row: of the steps that are kept, and of those that run now."""
    sign, rows = signature(plan, device), []
    (plan.out / "steps").mkdir(exist_ok=True)
    for step in steps(plan):
        file = plan.out / "steps" / f"{step.name}.json"
        found = kept(file, sign) if step.commands else None
        if found is None and step.commands and plan.left_s < RESERVE_S and not plan.simulated:
            rows.append(Row(step.check, "no time left", "run the command again to go on", LEFT_OUT))
            continue
        if found is None:
            print(f"[{time.monotonic() - plan.began:.0f} s] {step.name}", flush=True)
            found = perform(step, plan)
            part = file.with_suffix(".part")
            part.write_text(json.dumps({"signature": sign, "rows": [asdict(row) for row in found]}, indent=1))
            part.replace(file)
        rows += found
    return rows


def probe() -> dict[str, Any]:
    """Torch and the GPU, by a process of its own."""
    command = [sys.executable, "-m", "esr.doctor.torch_probe", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return json.loads(done.stdout.strip().splitlines()[-1]) if done.stdout.strip() else {"gpu": None, "version": None}


def to_markdown(rows: Sequence[Row], plan: Plan, device: dict[str, Any]) -> str:
    """The table, and the machine that it was made on."""
    driver, gpu = environment.driver(), device["gpu"]
    today = datetime.now(timezone.utc).date().isoformat()
    title = "GPU check: SIMULATED, no GPU" if plan.simulated else f"GPU check: {gpu['name']}"
    note = (
        "**Simulated device: no GPU was involved. Nothing below says anything about a GPU;** it shows that the check "
        "runs.\n\n"
        if plan.simulated
        else ""
    )
    machine = (
        f"{today}; torch {device['version']}, CUDA {device['cuda']}; driver {driver.version or 'unknown'}; "
        f"compute capability {gpu['compute_capability']}; esr {environment.commit() or 'without a commit'}; "
        f"{plan.seconds:g} s; data {plan.folder.name}"
    )
    body = [
        f"| {' | '.join(cell.replace('|', '/') for cell in (row.check, row.result, row.expected, row.verdict))} |"
        for row in rows
    ]
    head = ["| check | result | expected | verdict |", "|:--|:--|:--|:--|"]
    return f"# {title}\n\n{note}{machine}\n\n" + "\n".join([*head, *body]) + "\n"


def data_folder(out: Path, seconds: float) -> Path:
    """Set5 where `ESR_DATA` has it; else, and for a short check, two photographs of the demo."""
    found = Path(os.environ.get("ESR_DATA", "-/-")) / "set5"
    if seconds >= SMALL * SECONDS and found.is_dir():
        return found.resolve()
    return write_photographs(out / "images", 4 * (SMALL_SIDE if seconds < SMALL * SECONDS else SIDE))


def write_photographs(folder: Path, side: int) -> Path:
    """Square HR crops of the demo's photographs, mirrored where they end earlier."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("coffee", "rocket"):
        hr = read_rgb(ROOT / "esr" / "data" / "demo" / f"{name}.png")
        more = [(0, max(0, side - length)) for length in hr.shape[:2]]
        write_png(folder / f"{name}.png", np.pad(hr, (*more, (0, 0)), "symmetric")[:side, :side])
    return folder


def main() -> int:
    """Runs the check; exit code 0 if all is well, 1 if something fell short, failed or is missing, 2 without a GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu-check", help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of the whole check (%(default)g)")
    parser.add_argument("--fresh", action="store_true", help="keep no result of an earlier run")
    words = parser.parse_args()
    device = probe()
    if not device["gpu"]:
        print("gpu-check: torch sees no GPU; `esr doctor` tells more", file=sys.stderr)
        return 2
    out = words.out.resolve()
    if words.fresh:
        shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    plan = Plan(out, words.seconds, "CUDA_STUB" in os.environ, data_folder(out, words.seconds))
    if smi := shutil.which("nvidia-smi"):
        execute([smi, "-q", "-d", "CLOCK,POWER,TEMPERATURE,PERFORMANCE"], SMI_S, out / "log.txt")
    rows = check(plan, device)
    table = to_markdown(rows, plan, device)
    (out / "table.md").write_text(table, encoding="utf-8")
    print(f"\n{table}\nrecords, log and table: {out}")
    return 0 if all(row.verdict in (OK, SIMULATED) or row.result == NO_JUDGE for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
