"""A process in trouble: signals, locks, a folder that is gone, few open files, long paths; one line each."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from filelock import FileLock
from helpers.command import wait_for
from helpers.forked import Forked
from helpers.participants import ONCE, SMALL

from esr.cli import signals
from esr.evaluation.crew import Crew, Start
from esr.multirun import folders
from esr.sandbox.process import ContainedProcess, Wishes

LONG = "x" * 400
ESR = Path(sys.executable).with_name("esr")


@pytest.fixture(autouse=True)
def heeded():
    """Signals that whoever started the tests had ignored, as `nohup` and a shell's background do."""
    before = {one: signal.getsignal(one) for one in (signal.SIGHUP, signal.SIGINT)}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


def started(cwd, *words, before=""):
    settings = {"ESR_OFFLINE": "1", "ESR_LOCK_DIR": str(cwd / "locks"), "COLUMNS": "200"}
    return Forked(words, cwd, {**os.environ, **settings}, before)


@pytest.mark.parametrize(("number", "word"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP")])
def test_a_signal_ends_a_measurement_with_a_line_and_leaves_nothing_behind(participant, number, word):
    (participant / "tiny.yaml").write_text("_target_: tiny.Tiny\nargs: {fault: hang}\n")
    running = started(participant, *SMALL)
    wait_for(participant / "locks" / "host.json")
    workers = psutil.Process(running.pid).children(recursive=True)
    assert workers
    running.send_signal(number)
    run = running.wait(20)
    assert run.code == 128 + number
    assert run.err == f"esr: ended by {word}; completed records are intact\n"
    assert not (participant / "locks" / "host.json").exists()
    assert not psutil.wait_procs(workers, timeout=10)[1]
    with FileLock(participant / "locks" / "host.lock", timeout=0):
        pass


def test_a_second_signal_does_not_interrupt_the_first_ones_end(participant):
    (participant / "tiny.yaml").write_text("_target_: tiny.Tiny\nargs: {fault: hang}\n")
    running = started(participant, *SMALL)
    wait_for(participant / "locks" / "host.json")
    for _ in range(5):
        running.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    assert running.wait(20).err.count("\n") == 1
    assert not (participant / "locks" / "host.json").exists()


class Finaliser:
    """Gets a signal while it is removed, when Python discards what is raised."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        signal.raise_signal(self.number)


def asked_and_then_busy(number):
    Finaliser(number)
    time.sleep(30)
    pytest.fail("the signal was lost")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_during_a_finaliser_ends_the_command_all_the_same(number):
    before, hook = signal.getsignal(number), sys.unraisablehook
    with pytest.raises(KeyboardInterrupt) as caught, signals.raising():
        asked_and_then_busy(number)
    assert getattr(caught.value, "number", signal.SIGINT) == number
    assert (signal.getsignal(number), sys.unraisablehook) == (before, hook)


def test_a_worker_that_is_still_starting_is_not_waited_for_when_a_signal_ends_the_command():
    """Started, stopped and ended for real: it never says that it is in its sandbox."""

    def silent(self):
        pytest.fail("waits for a worker's start")

    def interrupted(crew):
        with crew.ahead(("candidate", "baseline")):
            ContainedProcess.wait_until_started = silent
            raise signals.Terminated(signal.SIGTERM)

    whole = ContainedProcess.wait_until_started
    starts = {"candidate": Start(60.0, Wishes("off")), "baseline": Start(60.0, Wishes("off"))}
    try:
        with pytest.raises(signals.Terminated), Crew(starts) as crew:
            interrupted(crew)
    finally:
        ContainedProcess.wait_until_started = whole


def test_a_signal_that_is_ignored_as_by_nohup_stays_ignored(participant):
    (participant / "tiny.yaml").write_text("_target_: tiny.Tiny\nargs: {fault: hang}\n")
    running = started(participant, *SMALL, before="import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    wait_for(participant / "locks" / "host.json")
    running.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert running.runs
    running.send_signal(signal.SIGTERM)
    assert "SIGTERM" in running.wait(20).err


def test_training_ends_soon_after_ctrl_c_even_during_a_long_step(participant):
    words = ("model=imdn", "data_root=images", "device=cpu", "device.threads=1", "patch=8", "batch=256", "l1.steps=90")
    running = started(participant, "train", *words, "l2.steps=0")
    wait_for(participant / "outputs" / "training" / "imdn" / "log.csv")
    time.sleep(0.5)
    running.send_signal(signal.SIGINT)
    asked = time.monotonic()
    run = running.wait(20)
    assert time.monotonic() - asked < 10
    assert run.code == 130
    assert run.err == "esr: interrupted; rerun to resume from the last checkpoint\n"


def test_waiting_for_the_lock_is_said_where_there_is_no_terminal(participant):
    (participant / "locks").mkdir()
    with FileLock(participant / "locks" / "host.lock"):
        running = started(participant, *SMALL, *ONCE, "data.limit=1")
        until = time.monotonic() + 60
        while not running.err and time.monotonic() < until:
            time.sleep(0.02)
        (line,) = running.err
    assert "esr: waiting since " in line
    assert "host is in use by another esr; lock=fail ends instead" in line
    run = running.wait(60)
    assert run.code == 0, run.err


def test_a_folder_that_is_gone_is_one_line_in_every_command(tmp_path):
    for words in ("model=imdn", "-m model=imdn,rfdn", "show", "rank x", "doctor --quick", "train model=imdn", "config"):
        gone = tmp_path / "gone"
        gone.mkdir()
        script = f"cd {gone} && rmdir {gone} && exec {ESR} {words}"
        run = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
        assert (run.returncode, run.stdout) == (2, "")
        assert run.stderr == "esr: the current folder is gone (No such file or directory); go to another one with cd\n"


@pytest.mark.parametrize("limit", [16, 32])
def test_too_few_open_files_are_one_line(tmp_path, limit):
    script = f"ulimit -n {limit}; exec {ESR} model=imdn"
    run = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert run.returncode == 2
    assert run.stderr.startswith(f"esr: too few files may be open at once: {limit} (ulimit -n); at least 64 are needed")
    assert run.stderr.count("\n") == 1


def test_a_low_soft_limit_of_open_files_is_raised(tmp_path):
    script = f"ulimit -Sn 16; exec {ESR} show"
    run = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["model=imdn", "data=folder", f"data.root={LONG}"],
        ["model=imdn", f"out={LONG}"],
        ["model=imdn", f"weights={LONG}"],
        [f"model={LONG}"],
        [f"model={LONG}.yaml"],
        [f"model={'a/' * 3000}b.yaml"],
        ["model=repo", f"repo={LONG}", "id=1"],
        ["-m", f"model={LONG}.yaml,imdn"],
        ["show", LONG],
        ["show", f"{LONG}.json"],
        ["rank", LONG],
        ["rank", f"challenge={LONG}.yaml"],
        ["compare", LONG, LONG],
        ["check", LONG],
        ["repo", "list", LONG],
        ["doctor", "--quick", f"out={LONG}"],
        ["export", f"model={LONG}.yaml", "format=onnx"],
        ["train", "model=imdn", f"data_root={LONG}"],
        [LONG],
        [f"{LONG}.yaml"],
    ],
)
def test_a_path_of_400_characters_is_one_line(run_esr, words):
    run = run_esr(*words)
    assert run.code == 2
    assert "Traceback" not in run.err
    assert len([line for line in run.err.splitlines() if line]) == 1


@pytest.mark.parametrize(
    "words", [["show"], ["doctor", "--quick"], ["model=imdn", "weights=~/x.pth"], ["fetch", "--list"]]
)
def test_without_a_home_no_command_ends_in_a_traceback(tmp_path, words):
    environment = {key: value for key, value in os.environ.items() if key != "HOME"} | {"ESR_OFFLINE": "1"}
    run = subprocess.run([ESR, *words], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert "Traceback" not in run.stderr
    assert run.returncode in (0, 2)


@pytest.mark.parametrize("words", [["data=demo"], ["model=imdn", "weights=gone.pth"], ["model=imdn", "data.root=gone"]])
def test_a_mistake_leaves_no_folder_behind(run_esr, tmp_path, words):
    assert run_esr(*words, cwd=tmp_path).code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_leaves_what_others_put_into_the_folder(tmp_path):
    folder = tmp_path / "outputs" / "day" / "time"
    folder.mkdir(parents=True)
    (folder / "esr.log").touch()
    (folder / "notes.txt").touch()
    folders.forget(folder)
    assert sorted(one.name for one in folder.iterdir()) == ["esr.log", "notes.txt"]
