"""One measurement at a time per device."""

import contextlib
import os
import subprocess
import sys
import time

import pytest
from helpers.participants import SMALL

from esr.errors import DeviceError
from esr.system import lock
from esr.system.progress import Silent

HOLDER = """
import sys, time
from esr.system import lock
from esr.system.progress import Silent
with lock.measuring(sys.argv[1], "model=other", "fail", Silent()):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def locks(tmp_path, monkeypatch):
    monkeypatch.setenv(lock.FOLDER_VARIABLE, str(tmp_path / "locks"))
    return tmp_path / "locks"


@pytest.fixture
def holder(locks):
    """Another process that holds the host until its standard input is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, "host"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


class Told(Silent):
    def __init__(self):
        self.titles = []

    def stage(self, title, steps):
        self.titles.append(title)


def test_a_device_that_is_held_is_refused_with_who_holds_it(holder):
    words = rf"lock=fail: host is in use by esr model=other \(process {holder.pid} of .*since"
    with pytest.raises(DeviceError, match=words), lock.measuring("host", "model=mine", "fail", Silent()):
        pass


def test_waiting_ends_when_the_holder_does_and_says_whom_it_waits_for(holder):
    told = Told()
    pause = subprocess.Popen(["sleep", "1"])

    class Ends(Told):
        def waiting(self, what):
            told.stage(what, None)
            pause.wait()
            holder.stdin.close()

    with lock.measuring("host", "model=mine", "wait", Ends()):
        assert holder.wait(timeout=10) == 0
    assert "model=other" in told.titles[0]


def test_a_holder_that_was_killed_holds_nothing(holder):
    holder.kill()
    holder.wait()
    with lock.measuring("host", "model=mine", "fail", Silent()):
        pass


def test_another_device_is_free(holder):
    with lock.measuring("GPU-12ab", "model=mine", "fail", Silent()):
        pass


def test_the_lock_is_free_after_a_failure(locks):
    with pytest.raises(RuntimeError), lock.measuring("host", "model=mine", "fail", Silent()):
        raise RuntimeError
    with lock.measuring("host", "model=mine", "fail", Silent()):
        pass
    assert not list(locks.glob("*.json"))


def test_a_folder_that_cannot_be_made_is_named_with_the_remedy(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(lock.FOLDER_VARIABLE, str(tmp_path / "file" / "locks"))
    with (
        pytest.raises(DeviceError, match=r"file/locks/host\.lock: cannot be locked .*ESR_LOCK_DIR=DIR"),
        lock.measuring("host", "model=mine", "fail", Silent()),
    ):
        pass


@pytest.mark.parametrize("name", ["host.lock", "host.json"])
def test_a_link_in_the_folder_leads_nowhere(locks, tmp_path, name):
    precious = tmp_path / "precious"
    precious.write_text("precious")
    precious.chmod(0o600)
    locks.mkdir()
    (locks / name).symlink_to(precious)
    with contextlib.suppress(DeviceError), lock.measuring("host", "model=mine", "fail", Silent()):
        pass
    assert precious.read_text() == "precious"
    assert precious.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_was_there_keeps_its_permissions_and_a_new_one_is_everybodys(locks, tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    mine.mkdir(mode=0o700)
    with lock.measuring("host", "model=mine", "fail", Silent()):
        assert locks.stat().st_mode & 0o7777 == 0o1777
        assert (locks / "host.json").stat().st_mode & 0o777 == 0o666
    monkeypatch.setenv(lock.FOLDER_VARIABLE, str(mine))
    with lock.measuring("host", "model=mine", "fail", Silent()):
        assert mine.stat().st_mode & 0o7777 == 0o700


@pytest.mark.skipif(not os.path.isdir("/proc/1"), reason="no /proc here")
@pytest.mark.parametrize("when_held", ["wait", "fail"])
def test_a_folder_in_which_no_file_can_be_made_is_named_instead_of_waited_for(monkeypatch, when_held):
    monkeypatch.setenv(lock.FOLDER_VARIABLE, "/proc/1")
    words = r"/proc/1/host\.lock: cannot be locked .*ESR_LOCK_DIR=DIR"
    with pytest.raises(DeviceError, match=words), lock.measuring("host", "model=mine", when_held, Silent()):
        pass


def test_a_folder_in_place_of_a_lock_is_named(locks):
    (locks / "host.lock").mkdir(parents=True)
    words = r"host\.lock: cannot be locked .*ESR_LOCK_DIR=DIR"
    with pytest.raises(DeviceError, match=words), lock.measuring("host", "model=mine", "fail", Silent()):
        pass


def test_an_evaluation_holds_the_host_and_gives_way_as_told(run_esr, participant, holder, locks):
    start = time.monotonic()
    run = run_esr(*SMALL, "lock=fail", cwd=participant, env={lock.FOLDER_VARIABLE: str(locks)})
    assert run.code == 2
    assert "lock=fail: host is in use by esr model=other" in run.err
    assert not run.records
    assert time.monotonic() - start < 120
    assert os.environ[lock.FOLDER_VARIABLE] == str(locks)
