"""Every network of challenges' repositories: whether it runs here, and why not; written as Markdown.

    python benchmarks/challenge_repositories.py ~/NTIRE2022_ESR ~/NTIRE2024_ESR … --out docs/challenge-repositories.md
    python benchmarks/challenge_repositories.py ~/NTIRE2026_ESR --expected expected.csv     compare counts

Each network is measured by the command that a user types, `esr model=repo repo=DIR id=N timing=quick`, beside the
repository's own baseline, in a sandbox, on one small piece of a photograph; what the list says is what the record
says. The processes are forked from one that has imported the libraries, which takes a third of the time; `--brief`
measures nothing and does only what workers do: load, upscale, record and watch a pass, and count one over 256×256.
Where weights are absent, random ones are tried. The packages that the networks need must be installed, or be in a
folder on PYTHONPATH. `--jsonl FILE` keeps each result as it comes; networks that it holds are not run again.
"""

import argparse
import contextlib
import csv
import gc
import importlib
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from importlib import resources
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import msgspec
import torch

from esr.config.repository import Layout, read_layout
from esr.config.repository_words import complete
from esr.config.schema import EsrConf, ModelConf, RepositoryConf
from esr.errors import EsrError
from esr.evaluation.worker import messages as to
from esr.evaluation.worker.child import Child
from esr.evaluation.worker.envelope import Pixels
from esr.images.files import read_rgb
from esr.networks.repository.stand_ins import prepare_torchvision
from esr.records.files import load_record
from esr.records.network import Loading, Weights
from esr.records.reasons import TELEMETRY_REASONS
from esr.zoo.weights import resolve

LR = (61, 47)
"""Height and width of the image: no multiple of anything."""
TESTS = Path(__file__).resolve().parents[1] / "tests"
"""Folder of the helper that forks commands."""
MARK = "<!-- below: benchmarks/challenge_repositories.py -->\n"
"""Line of a Markdown file above which its text is kept."""
COUNTS = ("params", "activations", "convolutions", "flops", "macs", "flops_fvcore")
COLUMNS = {
    "params": "params",
    "activations": "activations",
    "convs": "convolutions",
    "hook_flops_esr": "flops",
    "macs_esr": "macs",
    "fvcore_flops": "flops_fvcore",
}
"""Column of the expected counts -> field of `Complexity`."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of one network."""

    repository: str
    id: int
    name: str
    weights: str = "repository"
    outcome: str = ""
    """Empty: it ran to the end; else the reason."""
    data_range: float | None = None
    tile: int | None = None
    passes: int = 0
    strict: bool | None = None
    missing: int = 0
    unexpected: int = 0
    precisions: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    stand_ins: tuple[str, ...] = ()
    padded_to: int | None = None
    random: bool = False
    """Two passes over one image, with different seeds, differ."""
    stochastic: bool = False
    """Named so by the evaluation."""
    precision: str = ""
    """Class by the record."""
    psnr: float | None = None
    """RGB, dB, on the piece of a photograph."""
    reasons: tuple[str, ...] = ()
    """What taints the network in the record, except what a busy machine does."""
    layers: tuple[str, ...] = ()
    """Of the sandbox."""
    seconds: float = 0.0
    counts: dict[str, int] = {}
    uncounted: str | None = None


def main(words: Sequence[str] | None = None) -> int:
    """Runs all networks that have no result yet, and prints or writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repositories", nargs="+", type=Path)
    parser.add_argument("--ids", type=int, nargs="*", help="only these")
    parser.add_argument("--jsonl", type=Path, help="results so far, continued")
    parser.add_argument("--out", type=Path, help="Markdown file; default: the terminal")
    parser.add_argument("--expected", type=Path, help="CSV with year, id and counts to compare with")
    parser.add_argument("--brief", action="store_true", help="measure nothing")
    parser.add_argument("--timeout", type=float, default=300, help="seconds per network (300)")
    options = parser.parse_args(words)
    done = _read(options.jsonl)
    if options.brief:
        _preload()
    tried = _in_process if options.brief else _measured
    results = []
    for root in options.repositories:
        layout = read_layout(root)
        for entry in layout.entries:
            if options.ids and entry.id not in options.ids:
                continue
            result = done.get((layout.root.name, entry.id)) or tried(layout, entry.id, options.timeout)
            if options.jsonl and (layout.root.name, entry.id) not in done:
                with options.jsonl.open("ab") as file:
                    file.write(msgspec.json.encode(result) + b"\n")
            print(f"{result.repository} {result.id}: {result.outcome or 'ran'}", file=sys.stderr, flush=True)
            results.append(result)
    text = "\n".join([*table(results), *(comparison(results, options.expected) if options.expected else [])]) + "\n"
    if options.out:
        before = options.out.read_text(encoding="utf-8").partition(MARK) if options.out.is_file() else ("", "", "")
        options.out.write_text(f"{before[0]}{before[1]}{chr(10) * bool(before[1])}{text}", encoding="utf-8")
    else:
        print(text)
    return 0


def _preload() -> None:
    """Imports the largest of the usual packages once, for all forks."""
    prepare_torchvision()
    for package in ("torch._dynamo", "torch._refs", "timm", "einops", "cv2", "scipy"):
        with contextlib.suppress(ImportError):
            importlib.import_module(package)


def _read(file: Path | None) -> dict[tuple[str, int], Result]:
    if file is None or not file.is_file():
        return {}
    results = [msgspec.json.decode(line, type=Result) for line in file.read_bytes().splitlines()]
    return {(one.repository, one.id): one for one in results}


_OF_THE_MACHINE = {"warmup_cap", *TELEMETRY_REASONS}
"""Reasons that say nothing about a network."""


def _measured(layout: Layout, number: int, timeout: float) -> Result:
    """Runs `esr` as a user does, and reads its record."""
    sys.path.insert(0, str(TESTS))
    from helpers.forked import run_forked  # noqa: PLC0415 - beside the tests

    facts = {"repository": layout.root.name, "id": number, "name": layout.entry(number).name}
    absent = [name for name in layout.entry(number).weights if not (layout.root / name).is_file()]
    words = ["model=repo", f"repo={layout.root}", f"id={number}", "timing=quick", "device=cpu", "device.threads=1"]
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "HR").mkdir()
        cv2.imwrite(f"{folder}/HR/piece.png", _photograph(4)[..., ::-1])
        words += ["data=folder", "data.name=piece", f"data.root={folder}", f"out={folder}"]
        try:
            run = run_forked(
                [*words, *["weights=random"] * bool(absent)], Path(folder), dict(os.environ), seconds=timeout
            )
        except TimeoutError:
            return Result(**facts, outcome=f"no record within {timeout:g} s")  # type: ignore[arg-type]
        facts["seconds"] = round(time.monotonic() - started, 1)
        if not run.records:
            lines = [line for line in run.err.splitlines() if line.strip()]
            # The last: before it may stand that the machine was waited for.
            reason = next(
                (line for line in lines[::-1] if line.startswith("esr: ")), lines[-1] if lines else "no reason"
            )
            return Result(**facts, outcome=reason.removeprefix("esr: ")[:600])  # type: ignore[arg-type]
        record = load_record(run.records[0])
    network = record.candidate
    if network.failure:
        outcome = f"{network.failure.stage}: {network.failure.message}"[:600]
        return Result(**facts, outcome=outcome)  # type: ignore[arg-type]
    return Result(
        **facts,  # type: ignore[arg-type]
        weights=f"random ({', '.join(absent)} is absent)" if absent else network.weights.source,
        stochastic=network.output_check.stochastic,
        precision=network.precision,
        psnr=network.quality.mean.psnr_rgb if network.quality else None,
        reasons=tuple(
            sorted(
                one.reason
                for one in record.verdict.reasons
                if one.role == "candidate" and one.severity == "taint" and one.reason not in _OF_THE_MACHINE
            )
        ),
        layers=network.worker.sandbox.layers if network.worker and network.worker.sandbox else (),
        precisions=tuple(network.precisions),
        padded_to=network.padded_to,
        counts={name: getattr(network.complexity, name) for name in COUNTS} if network.complexity else {},
        uncounted=network.uncounted,
        **_of_loading(network.loading),  # type: ignore[arg-type]
    )


def _of_loading(loading: Loading | None) -> dict[str, object]:
    if loading is None:
        return {}
    return {
        "data_range": loading.data_range,
        "tile": loading.tile,
        "passes": loading.passes,
        "strict": loading.strict,
        "missing": len(loading.missing),
        "unexpected": len(loading.unexpected),
        "settings": tuple(loading.settings_reset),
        "stand_ins": loading.stand_ins,
    }


def _in_process(layout: Layout, number: int, timeout: float) -> Result:
    """Runs a network in a fork, which inherits torch and saves its import."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_child, args=(layout, number, theirs))
    process.start()
    theirs.close()
    facts = {"repository": layout.root.name, "id": number, "name": layout.entry(number).name}
    try:
        if not ours.poll(timeout):
            return Result(**facts, outcome=f"no answer within {timeout:g} s")  # type: ignore[arg-type]
        return msgspec.json.decode(ours.recv_bytes(), type=Result)
    except EOFError:
        process.join(10)
        return Result(**facts, outcome=f"the process ended with exit code {process.exitcode}")  # type: ignore[arg-type]
    finally:
        process.kill()
        process.join()


def _child(layout: Layout, number: int, pipe: Connection) -> None:
    gc.freeze()  # a search through all objects would copy their pages
    sink = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # of the network's own prints
        os.dup2(sink, stream)
    try:
        result = _tried(layout, number)
    except BaseException as error:
        reason = str(error) if isinstance(error, EsrError) else traceback.format_exc().strip().splitlines()[-1]
        result = Result(repository=layout.root.name, id=number, name=layout.entry(number).name, outcome=reason[:600])
    pipe.send_bytes(msgspec.json.encode(result))
    os._exit(0)


def _tried(layout: Layout, number: int) -> Result:
    model = complete(ModelConf("test_demo.select_model", repository=RepositoryConf(str(layout.root), number)))
    absent = [name for name in layout.entry(number).weights if not (layout.root / name).is_file()]
    weights = Weights("random") if absent else resolve(model, "auto")
    child, settings = Child(), EsrConf(model=model)
    settings.device.kind, settings.device.threads = "cpu", 1
    _asked(child, to.OpenRequest(settings.device, settings.cudnn))
    loading = _asked(child, to.LoadRequest(model, weights, 0)).loading
    photograph, outputs = _photograph(), []
    for seed in range(2):
        _asked(child, to.PassRequest(photograph, seed))
        outputs.append(_asked(child, to.QualityRequest(LR)).image)
    first, second = outputs
    found = _watched(child, settings, photograph)
    answer = _asked(child, to.ComplexityRequest(256, 256))
    counted = answer.complexity
    return Result(
        repository=layout.root.name,
        id=number,
        name=layout.entry(number).name,
        weights=f"random ({', '.join(absent)} is absent)" if absent else weights.source,
        precisions=tuple(found.precisions),
        padded_to=answer.padded_to,
        random=bool((first != second).any()),
        counts={name: getattr(counted, name) for name in COUNTS} if counted else {},
        uncounted=answer.uncounted,
        **_of_loading(loading),  # type: ignore[arg-type]
    )


def _watched(child: Child, settings: EsrConf, photograph: Pixels) -> to.InspectAnswer:
    """Findings of a pass that is recorded, and replayed by another worker."""
    recorded = _asked(child, to.RecordRequest(photograph, 0))
    if recorded.fault is not None:
        raise EsrError(recorded.fault)
    judge = Child()
    _asked(judge, to.OpenRequest(settings.device, settings.cudnn))
    _asked(judge, to.ReplayRequest(recorded.tape, child.model.data_range))
    return _asked(judge, to.InspectRequest(photograph, 0))


def _asked(child: Child, request: to.Request) -> to.Answer:
    answer = child.answer(request)
    if isinstance(answer, to.Refusal):
        raise EsrError(f"{request.stage}: {answer.message}")
    return answer


def _photograph(scale: int = 1) -> Pixels:
    """A piece of the first demo image, `scale` times as large as `LR`."""
    file = next(one for one in resources.files("esr.data").joinpath("demo").iterdir() if one.name.endswith(".png"))
    height, width = LR[0] * scale, LR[1] * scale
    return read_rgb(Path(str(file)))[40 : 40 + height, 40 : 40 + width].copy()


def table(results: Sequence[Result]) -> list[str]:
    """Markdown: a count for each repository, then a row for each network."""
    lines = []
    for name in dict.fromkeys(one.repository for one in results):
        own = [one for one in results if one.repository == name]
        ran = sum(not one.outcome for one in own)
        lines += [
            f"## {name}",
            "",
            f"{ran} of {len(own)} networks run.",
            "",
            "| id | network | outcome | fvcore G | notes |",
        ]
        lines += ["|---:|---|---|---:|---|", *(_row(one) for one in own), ""]
    return lines


def _row(one: Result) -> str:
    loose = one.strict is False
    entries = f" ({one.missing} missing, {one.unexpected} unexpected)" if one.missing or one.unexpected else ""
    notes = {
        f"weights {one.weights}": one.weights.startswith("random"),
        f"range {one.data_range or 0:g}": one.data_range not in (None, 1.0),
        f"tile {one.tile}": one.tile,
        f"{one.passes} passes while loading": one.passes,
        f"strict=False{entries}": loose,
        f"computes in {', '.join(one.precisions)}": one.precisions,
        f"set {', '.join(one.settings)}, reset": one.settings,
        f"padded to multiples of {one.padded_to}": one.padded_to,
        "random at inference": one.random or one.stochastic,
        f"class {one.precision}": one.precision not in ("", "fp32"),
        f"tainted: {', '.join(one.reasons)}": one.reasons,
        f"not counted: {one.uncounted}": one.uncounted,
    }
    words = "; ".join(note for note, holds in notes.items() if holds)
    flops = f"{one.counts['flops_fvcore'] / 1e9:.2f}" if one.counts.get("flops_fvcore") else ""
    return f"| {one.id} | {_cell(one.name)} | {_cell(one.outcome) or 'ran'} | {flops} | {_cell(words)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")[:300]


def comparison(results: Sequence[Result], expected: Path) -> list[str]:
    """Counts that differ from those expected, by year and id."""
    rows = {(row["year"], int(row["id"])): row for row in csv.DictReader(expected.open(encoding="utf-8"))}
    compared, lines = 0, []
    for one in results:
        row: Mapping[str, str] = rows.get(("".join(filter(str.isdigit, one.repository))[:4], one.id), {})
        if one.outcome or not one.counts or not row.get("params"):
            continue
        compared += 1
        differing = [
            f"{name} {one.counts[name]} for {row[column]}"
            for column, name in COLUMNS.items()
            if row.get(column) and int(row[column]) != one.counts[name]
        ]
        lines += [f"- {one.repository} {one.id}: {', '.join(differing)}"] if differing else []
    return ["## Counts", "", f"{compared} networks compared, {len(lines)} differ.", *lines]


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())
