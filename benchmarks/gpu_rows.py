"""Rows of the GPU check's table, from the output of its steps and from their records."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from machine import tables
from scipy.stats import binom

from esr.records.compare import compare
from esr.records.files import Record, load_record
from esr.timing import statistics

AA_ROUNDS = 8
"""Rounds of each run of a network against itself."""
HARNESS = 0.02
"""Largest distance from 1 of the reported over the bare time."""
OUTPUTS = 1e-4
"""Largest difference from a golden output, as a fraction of its range: TF32 is ten times as far off."""
JUDGE = 0.05
"""Largest difference from the independent judge's milliseconds."""
NO_JUDGE = "cuda-bench is not installed"

OK, SHORT, FAILED, LEFT_OUT, SIMULATED = "ok", "fell short", "failed", "not checked", "simulated"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    check: str
    result: str
    expected: str
    verdict: str


def judged(check: str, result: str, expected: str, good: bool) -> Row:
    """A row that is good or fell short."""
    return Row(check, result, expected, OK if good else SHORT)


@dataclass(frozen=True)
class Command:
    """Result of one process."""

    code: int | None
    """`None`: stopped at its limit."""
    out: str


def answer(done: Command) -> dict[str, Any]:
    """What a step of `gpu_steps.py` printed; a library's own lines may come after it, from another buffer."""
    printed = [line for line in done.out.splitlines() if line.startswith("{")]
    if not printed:
        raise ValueError("no result was printed")
    return json.loads(printed[-1])


def record_in(folder: Path) -> Record:
    """The only record below a folder."""
    (found,) = folder.rglob("record.json")
    return load_record(found)


def tests(done: Sequence[Command]) -> list[Row]:
    """Result of the tests marked `gpu`."""
    summary = done[0].out.strip().splitlines()[-1].strip("= ")
    good = done[0].code == 0 and "skip" not in summary
    return [judged("tests marked gpu", summary, "none fails, none is skipped", good)]


def doctor(done: Sequence[Command]) -> list[Row]:
    """What the doctor found fault with."""
    findings = json.loads(done[0].out)["findings"]
    faults = [f"{one['check']}: {one['status']}" for one in findings if one["status"] != "ok"]
    failing = [one for one in findings if one["status"] == "fail"]
    return [judged("esr doctor", "; ".join(faults) or "all ok", "nothing fails", not failing)]


def outputs(done: Sequence[Command]) -> list[Row]:
    """Outputs on the GPU beside the goldens, or beside the CPU's where there are none."""
    rows = []
    for source, found in answer(done[0]).items():
        worst = max(found, key=found.get)
        result = f"{len(found)} networks, at most {found[worst]:.1e} of the range ({worst})"
        rows.append(judged(f"FP32 outputs against {source}", result, f"at most {OUTPUTS:g}", found[worst] <= OUTPUTS))
    return rows


def harness(done: Sequence[Command]) -> list[Row]:
    """Reported against bare milliseconds."""
    rows = answer(done[0])["rows"]
    worst = max(rows, key=lambda row: abs(row[-1] - 1))
    text = f"reported {worst[2]:.3f} ms, bare {worst[1]:.3f} ms: {worst[-1]:.4f} at LR {worst[0]}"
    return [judged("cost of the harness", text, f"1.00 ± {HARNESS:g}", abs(worst[-1] - 1) <= HARNESS)]


def same(folder: Path, runs: int, _: Sequence[Command]) -> list[Row]:
    """Intervals of a network against itself that hold 1."""
    record = record_in(folder)
    confidence = record.document.timing.confidence
    parts = [slice(run * AA_ROUNDS, (run + 1) * AA_ROUNDS) for run in range(runs)]
    candidate, baseline = tables(record)
    found = [statistics.ratio(candidate[part], baseline[part], confidence) for part in parts]
    held = sum(one.low <= 1.0 <= one.high for one in found)
    half = np.mean([(one.high - one.low) / 2 for one in found])
    least = int(binom.ppf(0.01, runs, confidence))
    text = f"{held} of {runs} intervals hold 1.0, half-width {half * 100:.2f} %"
    return [judged("A/A coverage", text, f"at least {least} of {runs}", held >= least)]


def repeat(one: Path, other: Path, _: Sequence[Command]) -> list[Row]:
    """Two runs of one network, compared; and the share of an evaluation that forward passes take."""
    first, second = record_in(one), record_in(other)
    found = compare(first, second)
    change = f"{found.change.value:.4f}" if found.change else "no ratio"
    text = f"{found.outcome}: the second ratio over the first is {change}"
    share = forward_s(first) / first.document.duration_s
    return [
        ratio_row("RLFN against IMDN", first),
        judged("esr compare of two runs", text, "the same, or inconclusive", found.outcome in ("same", "inconclusive")),
        Row("forward passes in a whole evaluation", f"{share * 100:.0f} % of its time", "–", OK),
    ]


def forward_s(record: Record) -> float:
    """Seconds of timed and warm-up passes of both networks."""
    total = 0.0
    for network in (record.candidate, record.baseline):
        if network.timing:
            total += sum(network.timing.load_samples().wall_ms)
            total += sum(sum(entry.ms) for entry in network.timing.load_warmup())
    return total / 1000


def ratio_row(check: str, record: Record) -> Row:
    """Ratio, milliseconds, and verdict of a record."""
    ratio, timing = record.ratio, record.candidate.timing
    if ratio is None or timing is None:
        return Row(check, f"verdict {record.verdict.status}", "a ratio", SHORT)
    interval = "" if ratio.low is None else f" [{ratio.low:.4f}, {ratio.high:.4f}]"
    cycles = record.document.timing.cycles
    text = f"{ratio.value:.4f}{interval}; {timing.runtime_ms.value:.3f} ms"
    text += f"; in cycles {cycles.ratio.value:.4f}" if cycles else ""
    reasons = sorted({found.reason for found in record.verdict.reasons})
    text += f"; {record.verdict.status}{': ' if reasons else ''}{', '.join(reasons)}"
    return Row(check, text, "a ratio", OK if not record.failed else SHORT)


def benchmark(plain: Path, searched: Path, _: Sequence[Command]) -> list[Row]:
    """The ratio with cuDNN's search, and the kernels that it chose."""
    record, without = record_in(searched), record_in(plain)
    kernels = [network.kernels for network in (without.candidate, record.candidate)]
    if None in kernels:
        words = Row("kernels by torch's profiler", "none told", "names of the kernels", SHORT)
    else:
        before, after = ({kernel.name for kernel in found} for found in kernels)
        text = f"{len(after)} kernels, {len(after - before)} of them only with the search; longest {kernels[1][0].name}"
        words = Row("kernels by torch's profiler", text, "names of the kernels", OK)
    return [ratio_row("RLFN against IMDN, cudnn.benchmark=true", record), words]


def challenge(folder: Path, _: Sequence[Command]) -> list[Row]:
    """The single unwarmed pass, its runtime and its memory."""
    record = record_in(folder)
    memory = record.candidate.memory
    peak = "no memory" if memory is None else f"{memory.memory_mib:.1f} MiB"
    row = ratio_row("the challenge's protocol, RLFN", record)
    return [Row(row.check, f"{row.result}; {peak}", "a ratio and a peak", row.verdict if memory else SHORT)]


def judge(done: Sequence[Command]) -> list[Row]:
    """Milliseconds of one pass by `esr` and by cuda-bench."""
    found = answer(done[0])
    if (ours := found.get("esr_ms")) is None:
        return [Row("independent judge of one pass", found["missing"], "cuda-bench installed", LEFT_OUT)]
    off = ours / found["judge_ms"] - 1
    text = f"esr {ours:.3f} ms, cuda-bench {found['judge_ms']:.3f} ms: {off * 100:+.1f} %"
    return [judged("independent judge of one pass", text, f"within {JUDGE * 100:g} %", abs(off) <= JUDGE)]


def sampling(done: Sequence[Command]) -> list[Row]:
    """Upper end of what sampling costs a network, at the default pace."""
    found = answer(done[0])
    text = f"{found['cost'] * 100:.3f} % (up to {found['high'] * 100:.3f} %) in {found['pairs']} pairs of blocks"
    return [judged("cost of sampling NVML at the default pace", text, "below 0.5 %", found["high"] < 0.005)]


def sweep(folder: Path, count: int, done: Sequence[Command]) -> list[Row]:
    """Networks that were measured to the end and ranked."""
    records = [load_record(file) for file in folder.rglob("record.json")]
    whole = [record for record in records if not record.failed]
    first = min(whole, key=lambda record: record.ratio.value if record.ratio else float("inf"), default=None)
    text = f"{len(whole)} of {count} measured" + (f", {first.candidate.name} is the fastest" if first else "")
    good = len(whole) == count and done[-1].code == 0
    return [judged(f"the {count} fastest networks", text, "all measured and ranked", good)]


def telemetry(folder: Path, _: Sequence[Command]) -> list[Row]:
    """Records that were watched throughout, with a clock in every timed block."""
    records = [load_record(file) for file in sorted(folder.rglob("record.json"))]
    watched = [record for record in records if is_watched(record)]
    text = f"{len(watched)} of {len(records)} records"
    return [judged("telemetry in every record", text, "all", bool(records) and len(watched) == len(records))]


def is_watched(record: Record) -> bool:
    """True if the GPU was sampled to the end, and each timed block has its clock."""
    gpu = record.document.telemetry.gpu
    windows = record.document.telemetry.load_windows()
    return (
        gpu is not None
        and gpu.gone is None
        and gpu.sampling.error is None
        and gpu.sampling.samples > 0
        and all(window.gpu_sm_mhz is not None for window in windows)
    )
