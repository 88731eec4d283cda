"""The GPU check: its table, what it keeps for the next run, and the whole of it on a simulated device."""

import itertools
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from helpers import rankings
from helpers.cuda_stub import environment as cuda_environment
from helpers.cuda_stub.simulated_cuda import Script, simulated
from helpers.forked import run_forked
from helpers.nvml_stub import build
from helpers.nvml_stub import environment as nvml_environment
from helpers.paths import ROOT

from esr.images.files import read_rgb

sys.path.insert(0, str(ROOT / "benchmarks"))
import gpu_check
import gpu_rows
from gpu_check import Plan, Step
from gpu_rows import FAILED, LEFT_OUT, OK, SHORT, SIMULATED, Command, Row

DEVICE = {"version": "2.7", "cuda": "12.6", "gpu": {"name": "Card", "uuid": "x", "compute_capability": "9.0"}}
SECONDS = 60
"""Length of the check on a simulated GPU, which takes longer: it has no limit there."""
PRINT = [sys.executable, "-c", "print('done')"]


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "steps").mkdir()
    return Plan(tmp_path, 60.0, simulated=False, folder=tmp_path / "images")


def step(*commands, judge=lambda done: [Row("a", done[0].out.strip(), "done", OK)], name="one", timed=False):
    return Step(name, "a step", 1.0, commands, judge, timed)


@pytest.fixture
def only(monkeypatch):
    """Replaces the steps of the check."""

    def replace(*given):
        monkeypatch.setattr(gpu_check, "steps", lambda plan: list(given))

    return replace


def test_a_step_that_is_done_is_not_run_again(plan, only, tmp_path):
    count = [sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'a').write('x')"]
    only(step(count, judge=lambda done: [Row("a", "b", "c", SHORT)]))
    first = gpu_check.check(plan, DEVICE)
    assert gpu_check.check(plan, DEVICE) == first == [Row("a", "b", "c", SHORT)]
    assert (tmp_path / "ran").read_text() == "x"


@pytest.mark.parametrize("what", ["failed", "another card", "another length"])
def test_a_step_that_failed_or_belongs_to_another_check_is_run_again(plan, only, tmp_path, what):
    count = [sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'a').write('x')"]
    verdict = FAILED if what == "failed" else OK
    only(step(count, judge=lambda done: [Row("a", "b", "c", verdict)]))
    gpu_check.check(plan, DEVICE)
    device = DEVICE if what != "another card" else {**DEVICE, "gpu": {**DEVICE["gpu"], "uuid": "y"}}
    plan.seconds += what == "another length"
    gpu_check.check(plan, device)
    assert (tmp_path / "ran").read_text() == "xx"


def test_without_time_a_step_is_left_for_the_next_run(plan, only):
    only(step(PRINT))
    plan.began -= plan.seconds - gpu_check.RESERVE_S + 1
    (row,) = gpu_check.check(plan, DEVICE)
    assert (row.verdict, row.check) == (LEFT_OUT, "a step")
    plan.began = time.monotonic()
    assert gpu_check.check(plan, DEVICE) == [Row("a", "done", "done", OK)]


def test_a_step_that_hangs_or_cannot_be_judged_has_failed_and_the_next_one_runs(plan, only):
    plan.seconds = 20.0
    hanging = Step("hanging", "it hangs", 0.05, [[sys.executable, "-c", "import time; time.sleep(60)"]], len)
    broken = step([sys.executable, "-c", "raise SystemExit(3)"], judge=lambda done: done[0].nothing, name="broken")
    only(hanging, broken, step(PRINT))
    rows = gpu_check.check(plan, DEVICE)
    assert [row.verdict for row in rows] == [FAILED, FAILED, OK]
    assert rows[0].result == "stopped after 1 s"
    assert "exit codes 3" in rows[1].result


def test_a_simulation_judges_no_time_and_says_what_it_is(plan, only):
    only(step(PRINT, timed=True), step(PRINT, name="two"))
    plan.simulated = True
    rows = gpu_check.check(plan, DEVICE)
    assert [row.verdict for row in rows] == [SIMULATED, OK]
    table = gpu_check.to_markdown(rows, plan, DEVICE)
    assert table.startswith("# GPU check: SIMULATED, no GPU\n\n**Simulated device: no GPU was involved.")
    plan.simulated = False
    real = gpu_check.to_markdown([Row("a|b", "c", "d", OK)], plan, DEVICE)
    assert real.startswith("# GPU check: Card\n\n2")
    assert "simulated" not in real.lower()
    assert real.endswith("|:--|:--|:--|:--|\n| a/b | c | d | ok |\n")


def test_every_test_marked_gpu_is_run():
    marked = {str(file) for file in (ROOT / "tests").rglob("*.py") if "@pytest.mark.gpu\n" in file.read_text()}
    assert marked - {__file__} == {word for word in gpu_check.tests() if word.endswith(".py")} - {__file__}


@pytest.mark.parametrize("side", [96, 512])
def test_without_set5_photographs_are_measured(tmp_path, side, monkeypatch):
    monkeypatch.delenv("ESR_DATA", raising=False)
    folder = gpu_check.data_folder(tmp_path, gpu_check.SECONDS if side == 512 else SECONDS)
    images = [read_rgb(file) for file in sorted(folder.iterdir())]
    assert [image.shape for image in images] == [(side, side, 3)] * 2
    assert (images[0] != images[1]).any()


def verdicts(rows):
    return [row.verdict for row in rows]


@pytest.mark.parametrize(
    ("code", "summary", "verdict"),
    [(0, "3 passed in 2 s", OK), (0, "1 passed, 2 skipped in 2 s", SHORT), (1, "1 failed, 2 passed in 2 s", SHORT)],
)
def test_gpu_tests_that_are_skipped_fall_short(code, summary, verdict):
    assert verdicts(gpu_rows.tests([Command(code, f"...\n== {summary} ==\n")])) == [verdict]


def test_rows_of_the_steps_that_print_json():
    def said(**found):
        return [Command(0, f"noise\n{json.dumps(found)}\n# Benchmark Results\n")]

    assert verdicts(gpu_rows.outputs(said(**{"the goldens": {"a": 1e-6, "b": 2e-4}}))) == [SHORT]
    assert verdicts(gpu_rows.outputs(said(**{"the goldens": {"a": 1e-6}, "the CPU": {"b": 9e-5}}))) == [OK, OK]
    assert verdicts(gpu_rows.harness(said(rows=[["24×24", 1.0, 1.01, 1.01]]))) == [OK]
    assert verdicts(gpu_rows.harness(said(rows=[["24×24", 1.0, 1.0, 1.0], ["9×9", 1.0, 0.9, 0.9]]))) == [SHORT]
    assert verdicts(gpu_rows.judge(said(missing=gpu_rows.NO_JUDGE))) == [LEFT_OUT]
    assert verdicts(gpu_rows.judge(said(esr_ms=1.02, judge_ms=1.0))) == [OK]
    assert verdicts(gpu_rows.judge(said(esr_ms=1.2, judge_ms=1.0))) == [SHORT]
    assert verdicts(gpu_rows.sampling(said(cost=0.001, high=0.004, pairs=20))) == [OK]
    assert verdicts(gpu_rows.sampling(said(cost=0.001, high=0.006, pairs=20))) == [SHORT]
    warning = [Command(1, json.dumps({"findings": [{"check": "gpu", "status": "warn"}]}))]
    assert verdicts(gpu_rows.doctor(warning)) == [OK]
    assert verdicts(gpu_rows.doctor([Command(1, warning[0].out.replace("warn", "fail"))])) == [SHORT]


def test_records_without_telemetry_fall_short(tmp_path):
    rankings.write(rankings.document("one"), tmp_path / "one")
    (row,) = gpu_rows.telemetry(tmp_path, [])
    assert (row.verdict, row.result) == (SHORT, "0 of 1 records")
    assert verdicts(gpu_rows.telemetry(tmp_path / "empty", [])) == [SHORT]


def test_two_runs_are_compared_and_kernels_that_nobody_told_fall_short(tmp_path):
    for name, value in (("first", 0.5), ("second", 0.5), ("slower", 0.9)):
        rankings.write(rankings.document("one", value), tmp_path / name)
    same = gpu_rows.repeat(tmp_path / "first", tmp_path / "second", [])
    assert verdicts(same) == [OK, OK, OK]
    assert verdicts(gpu_rows.repeat(tmp_path / "first", tmp_path / "slower", []))[1] == SHORT
    assert verdicts(gpu_rows.benchmark(tmp_path / "first", tmp_path / "second", []))[1] == SHORT
    assert verdicts(gpu_rows.sweep(tmp_path, 3, [Command(0, ""), Command(0, "")])) == [OK]
    assert verdicts(gpu_rows.sweep(tmp_path, 4, [Command(0, ""), Command(0, "")])) == [SHORT]
    assert verdicts(gpu_rows.sweep(tmp_path, 3, [Command(0, ""), Command(1, "")])) == [SHORT]


class CudaBench(ModuleType):
    """cuda-bench 0.3 on a machine with two GPUs, by its documentation; its library needs a driver."""

    def __init__(self, summaries: list[dict], skipped: str | None = None) -> None:
        super().__init__("cuda.bench")
        self.State = object
        self._summaries, self._skipped = summaries, skipped
        self._functions, self.passes = [], []

    def register(self, function):
        self._functions.append(function)

    def run_all_benchmarks(self, argv):
        options = dict(itertools.pairwise(argv[1:]))
        devices = options.get("--devices", "0,1").split(",")
        states = []
        for _ in devices:
            stream = SimpleNamespace(addressof=lambda: 4096)
            state = SimpleNamespace(get_stream=lambda stream=stream: stream, exec=self._exec)
            for function in self._functions:
                function(state)
            summaries = None if self._skipped else self._summaries
            states.append({"is_skipped": bool(self._skipped), "skip_reason": self._skipped, "summaries": summaries})
        Path(options["--json"]).write_text(json.dumps({"benchmarks": [{"states": states}]}))

    def _exec(self, launch, /, *, batched=None, sync=False, timer=False):
        self.passes.append((batched, sync, timer))
        launch(SimpleNamespace())


def seconds(tag, value):
    return {"tag": f"nv/cold/time/gpu/{tag}", "data": [{"name": "value", "type": "float64", "value": value}]}


SIZE = {"tag": "nv/cold/sample_size", "data": [{"name": "value", "type": "int64", "value": "640"}]}


@pytest.fixture
def streams(monkeypatch):
    """Addresses of the streams that passes were launched on; no GPU is there to have one."""
    torch = pytest.importorskip("torch")
    used = []
    monkeypatch.setattr(torch.cuda, "ExternalStream", lambda address: address)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: used.append(stream) or torch.no_grad())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    return used


@pytest.mark.parametrize(
    ("summaries", "ms"),
    [([SIZE, seconds("mean", "0.02"), seconds("median", "0.0125")], 12.5), ([seconds("mean", "0.02"), SIZE], 20.0)],
    ids=["with a median", "as before version 0.3"],
)
def test_the_judge_times_passes_on_the_first_gpu_and_its_report_is_read(streams, summaries, ms):
    import gpu_steps

    bench, passes = CudaBench(summaries), []
    assert gpu_steps.by_cuda_bench(bench, lambda: passes.append(1)) == ms
    assert bench.passes == [(False, True, False)]
    assert (len(passes), streams) == (2, [4096, 4096])


def test_a_pass_that_the_judge_skipped_has_no_time(streams):
    import gpu_steps

    with pytest.raises(RuntimeError, match="skipped the pass: no memory"):
        gpu_steps.by_cuda_bench(CudaBench([], skipped="no memory"), lambda: None)


def test_a_judge_that_is_not_there_or_cannot_be_loaded_is_named(monkeypatch):
    pytest.importorskip("torch")
    import gpu_steps

    monkeypatch.setitem(sys.modules, "cuda.bench", None)
    assert gpu_steps.judge("8") == {"missing": gpu_rows.NO_JUDGE}

    class Unloadable(ModuleType):
        def __getattr__(self, name):
            raise ImportError("cuda-bindings is required")

    monkeypatch.setitem(sys.modules, "cuda", ModuleType("cuda"))
    monkeypatch.setitem(sys.modules, "cuda.bench", Unloadable("cuda.bench"))
    assert gpu_steps.judge("8") == {"missing": "cuda-bench cannot be loaded: cuda-bindings is required"}


def test_the_steps_that_use_a_gpu_run_on_a_simulated_one(monkeypatch):
    torch = pytest.importorskip("torch")
    import gpu_steps
    import overhead

    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "1024")  # which a worker sets
    monkeypatch.setattr(gpu_steps, "PASSES", 1)
    monkeypatch.setattr(overhead, "WARM_UP", 0)
    with torch.backends.cudnn.flags(), simulated(Script(kernel_us=200), {}):
        (row,) = gpu_steps.harness("24")["rows"]
        found = gpu_steps.outputs(["rlfn"])
    assert row[0] == "24×24"
    assert row[1] > 0
    assert row[2] > 10  # milliseconds, as the script says: the passes were made on the device
    assert [name for part in found.values() for name in part] == ["rlfn"]
    assert max(value for part in found.values() for value in part.values()) < gpu_rows.OUTPUTS


def check_command(out: Path, seconds: float) -> list[str]:
    return [str(ROOT / "benchmarks" / "gpu_check.py"), "--out", str(out), "--seconds", str(seconds)]


def test_without_a_gpu_the_check_ends_in_one_line(tmp_path):
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *check_command(tmp_path, 60)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip() == "gpu-check: torch sees no GPU; `esr doctor` tells more"


@pytest.mark.slow
@pytest.mark.skipif("ESR_TEST_GPU_CHECK" not in os.environ, reason="make test-gpu-check")
@pytest.mark.timeout(900)
def test_the_whole_check_runs_on_a_simulated_gpu(tmp_path):
    (tmp_path / "nvml").mkdir()
    env = nvml_environment(build(tmp_path / "nvml")) | cuda_environment(Script(kernel_us=20.0))
    env["PYTHONPATH"] += os.pathsep + str(ROOT)
    env["ESR_LOCK_DIR"] = str(tmp_path)
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho its word on $3\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    env["PATH"] = f"{tmp_path}{os.pathsep}{env['PATH']}"
    script, *words = check_command(tmp_path / "out", SECONDS)
    as_script = f"""
import runpy, sys
sys.argv, sys.path[:0] = {[script, *words]!r}, [{str(Path(script).parent)!r}]
runpy.run_path({script!r}, run_name="__main__")
"""
    done = run_forked([], tmp_path, env, before=as_script, seconds=840)
    assert done.code == 0, done.out + done.err
    table = (tmp_path / "out" / "table.md").read_text()
    assert table.startswith("# GPU check: SIMULATED, no GPU")
    rows = [Row(*(cell.strip() for cell in line.split("|")[1:-1])) for line in table.splitlines() if "|" in line][2:]
    assert {row.verdict for row in rows} <= {OK, SIMULATED, LEFT_OUT}, table
    assert [row.check for row in rows if row.verdict == LEFT_OUT] in ([], ["independent judge of one pass"])
    kept = {file.stem for file in (tmp_path / "out" / "steps").iterdir()}
    assert kept == {step.name for step in gpu_check.steps(Plan(tmp_path, SECONDS, True, tmp_path))}
    assert len([row for row in rows if asdict(row)["result"]]) == len(rows) >= len(kept)
    assert list((tmp_path / "out" / "runs").rglob("record.json"))
    assert "its word on CLOCK,POWER" in (tmp_path / "out" / "log.txt").read_text()
