"""A control group of a worker's own, where this process may make one: everything in it is killed at once."""

import contextlib
import os
import secrets
import time
from pathlib import Path

_KILL_S = 5.0


def create() -> Path:
    """A new group below this process's own, on cgroup v2.

    Raises:
        OSError: There is none, or no group can be made there.
    """
    top = _mounted()
    own = next(
        line.partition("::")[2] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")
    )
    folder = top / own.lstrip("/") / f"esr-{os.getpid()}-{secrets.token_hex(4)}"
    folder.mkdir()
    if not (folder / "cgroup.kill").exists() or not os.access(folder.parent / "cgroup.procs", os.W_OK):
        folder.rmdir()
        raise OSError(0, "processes cannot be moved into a group of their own, or killed with it")
    return folder


def _mounted() -> Path:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            return Path(fields.split()[4])
    raise OSError(0, "cgroup v2 is not mounted")


def kill(folder: Path) -> None:
    """Kills every process of a group, waits until it is empty, and removes it.

    Raises:
        OSError: Something in it does not end.
    """
    with contextlib.suppress(FileNotFoundError):
        (folder / "cgroup.kill").write_text("1")
        deadline = time.monotonic() + _KILL_S
        while (folder / "cgroup.procs").read_text() and time.monotonic() < deadline:
            time.sleep(0.001)
        folder.rmdir()
