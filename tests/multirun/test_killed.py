"""A run killed at any stage, or on a full disk, leaves the old record or the new one, and resumes."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from helpers.cases import with_slow
from helpers.command import Run
from helpers.forked import run_forked
from helpers.participants import make_participant
from helpers.sweeps import SHARED, by_network, multirun, network, times
from PIL import Image

from esr.records.files import load_record
from esr.telemetry.trace import read_trace

WATCHED = ("quality.save=crops", "telemetry=default")

# The installed command, killed as by `kill -9` when a stage begins or a file is moved to its place.
KILLED_AT_STAGE = """
import os, signal
from esr.multirun.overview import Overview
stage = Overview.stage
def killed(self, title, steps):
    stage(self, title, steps)
    if {where!r} in title:
        os.kill(os.getpid(), signal.SIGKILL)
Overview.stage = killed
"""
KILLED_AT_FILE = """
import os, signal
from pathlib import Path
def killing(place):
    def put(source, target):
        if {where!r} in str(target) and not str(target).endswith(".lock"):
            os.kill(os.getpid(), signal.SIGKILL)
        return place(source, target)
    return put
os.replace = killing(os.replace)
Path.replace = killing(Path.replace)
"""
WORKER_KILLED_AT_STAGE = """
import os, signal
import psutil
from esr.multirun.overview import Overview
stage = Overview.stage
def killed(self, title, steps):
    stage(self, title, steps)
    if {where!r} in title:
        psutil.Process().children(recursive=True)[-1].kill()  # the others are its supervisors
Overview.stage = killed
"""
FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({where}, {where}))
"""
NO_ROOM_FOR_TRACE = """
import errno, os
from esr.system import files as atomic
replace, sync = atomic.replace, os.fsync
def chosen(target, content):
    def half(descriptor):
        os.ftruncate(descriptor, len(content) // 2)
        raise OSError(errno.ENOSPC, "File too large for the disk")
    os.fsync = half if {where!r} in target.name else sync
    replace(target, content)
atomic.replace = chosen
"""
NO_ROOM_FOR_RECORD = """
import errno, os
def full(descriptor):
    os.ftruncate(descriptor, {where})
    raise OSError(errno.ENOSPC, "File too large for the disk")
os.fsync = full
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Folder of a participant in which tiny was measured once, with pictures and a trace."""
    folder = make_participant(tmp_path_factory.mktemp("measured"))
    network(folder, "wide", args={"channels": 16})
    run = spoiled("", None, folder)
    assert run.code == 0, run.err
    return folder


@pytest.fixture
def folder(measured, tmp_path):
    """Copy that keeps the modification times of the images, on which the cache key depends."""
    return Path(shutil.copytree(measured, tmp_path / "copy", symlinks=True))


def spoiled(program, where, folder: Path, *more: str, networks="tiny.yaml") -> Run:
    """Runs `esr -m` after a program that spoils it."""
    words = (word for word in SHARED if not word.startswith("telemetry="))
    return run_forked(
        ["-m", f"model={networks}", "weights=random", *words, *WATCHED, *more], folder,
        {**os.environ, "ESR_OFFLINE": "1"}, before=program.format(where=where),
    )  # fmt: skip


def whole(file: Path) -> None:
    """Checks that a record and every file that it names can be read."""
    record = load_record(file)
    pictures = record.document.pictures
    for name in [pictures.comparison, *(name for one in pictures.images for name in one.files.values())]:
        assert np.asarray(Image.open(file.parent / name)).size
    assert read_trace(file.parent / record.document.telemetry.trace)


def contents(file: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(file.parent.rglob("*")) if path.is_file()}


def left_running(folder: Path) -> list[int]:
    """Processes with this working directory; waits up to 5 s, because the kernel needs a moment to end them."""
    for _ in range(50):
        found = []
        for process in psutil.process_iter():
            try:
                if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
            except psutil.Error:
                continue
        if not found:
            break
        time.sleep(0.1)
    return found


STAGES = ("images", "tiny: weights", "starting workers", "loading", "quality", "warm-up", "timing")
FILES = ("comparison.png", "images/0001", "telemetry", "record.json")


@pytest.mark.parametrize(
    ("program", "where"),
    with_slow(
        [*((KILLED_AT_STAGE, stage) for stage in STAGES), *((KILLED_AT_FILE, file) for file in FILES)],
        {"images", "tiny: weights", "starting workers", "loading", "warm-up", "comparison.png", "images/0001"},
    ),
)
def test_a_killed_repetition_leaves_the_old_record_whole_and_no_process(folder, program, where):
    (old,) = folder.rglob("record.json")
    before = contents(old)
    run = spoiled(program, where, folder, "force=true")
    assert run.code == -9, run.err
    assert left_running(folder) == []
    assert list(folder.rglob("record.json")) == [old]
    assert contents(old) == before
    whole(old)


FORKS = """
import subprocess
import tiny

class Forks(tiny.Tiny):
    def __init__(self):
        super().__init__()
        subprocess.Popen(["sleep", "600"])
"""


@pytest.mark.parametrize("where", with_slow(["warm-up", "timing"], {"warm-up"}))
def test_what_a_network_started_ends_with_the_run_though_it_is_stopped(folder, where):
    (folder / "forks.py").write_text(FORKS)
    network(folder, "forks", _target_="forks.Forks")
    run = spoiled(KILLED_AT_STAGE, where, folder, networks="forks.yaml")
    assert run.code == -9, run.err
    assert left_running(folder) == []


def test_after_a_kill_the_same_command_goes_on_at_the_first_missing_network(folder, run_esr):
    (old,) = folder.rglob("record.json")
    before = times([old])
    networks = "tiny.yaml,wide.yaml"
    killed = spoiled(KILLED_AT_FILE, "record.json", folder, networks=networks)
    assert killed.code == -9
    assert "1/2 tiny: skipped" in killed.err
    assert len(list(folder.rglob("telemetry*"))) == 2  # what the killed attempt had written already
    again = multirun(run_esr, folder, networks, *WATCHED)
    assert again.code == 0, again.err
    assert "1 measured, 1 skipped" in again.out
    found = by_network(again.records)
    assert times([found["tiny"]]) == before
    whole(found["wide"])
    assert len(list(folder.rglob("telemetry*"))) == 2


@pytest.mark.parametrize("where", with_slow(["loading", "quality", "timing"], {"quality"}))
def test_a_killed_worker_is_its_networks_failure_and_the_old_record_stays(folder, where):
    (old,) = folder.rglob("record.json")
    before = contents(old)
    run = spoiled(WORKER_KILLED_AT_STAGE, where, folder, "force=true")
    assert run.code == 1, run.err
    assert "SIGKILL" in run.out
    assert left_running(folder) == []
    assert contents(old) == before
    whole(old)


@pytest.mark.parametrize(
    ("program", "where"),
    [
        (FULL, 100),  # Hydra's files, before anything of ours
        (FULL, 6_000),  # pictures
        (FULL, 14_000),  # the comparison
        (NO_ROOM_FOR_TRACE, "telemetry"),
        (NO_ROOM_FOR_RECORD, 1_000),
    ],
)
def test_without_room_on_the_disk_the_old_record_stays_whole(folder, program, where):
    (old,) = folder.rglob("record.json")
    before = contents(old)
    run = spoiled(program, where, folder, "force=true")
    assert run.code == 2, run.err
    said = [line for line in (run.out + run.err).splitlines() if "File too large" in line]
    assert said
    assert "Traceback" not in run.err
    assert list(folder.rglob("record.json")) == [old]
    assert contents(old) == before
    assert list(folder.rglob("*.part")) == []
