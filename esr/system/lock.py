"""One evaluation at a time per device, across processes, users and containers that share the lock folder."""

import contextlib
import getpass
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from esr.errors import DeviceError
from esr.system.progress import Progress
from esr.text import file_stem

FOLDER_VARIABLE = "ESR_LOCK_DIR"
"""Environment variable of the lock folder; containers that share a GPU mount the same folder there."""
_SHARED = 0o1777
_SHARED_FILE = 0o666
_POLL_S = 0.25
_AGAIN_S = 60.0
"""Seconds between two lines on what is waited for."""


@contextmanager
def measuring(device: str, what: str, when_held: str, progress: Progress) -> Iterator[None]:
    """Locks a device; a context manager.

    Args:
        device: A GPU's UUID, or `host`.
        what: Description of the holder for other processes, such as `model=imdn`.
        when_held: `wait` until the other evaluation ends, or `fail`.
        progress: Shows the holder that is waited for.

    Raises:
        DeviceError: The device is in use and `when_held` is `fail`, or the lock folder cannot be used.
    """
    folder = Path(os.environ.get(FOLDER_VARIABLE) or f"{tempfile.gettempdir()}/esr-locks")
    file = folder / f"{file_stem(device, 'device')}.lock"
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(_SHARED)  # only a new folder: an existing one may be somebody's home
        lock = file_lock(file, mode=_SHARED_FILE)
        _acquire(lock, file, device, when_held, progress)
    except OSError as error:
        fault = f"{file}: cannot be locked ({error.strerror})"
        raise DeviceError(f"{fault}; choose another folder with {FOLDER_VARIABLE}=DIR") from error
    note = file.with_suffix(".json")
    try:
        _write(note, what)
        yield
    finally:
        with contextlib.suppress(OSError):
            note.unlink(missing_ok=True)
        lock.release()


def _acquire(lock: BaseFileLock, file: Path, device: str, when_held: str, progress: Progress) -> None:
    with contextlib.suppress(Timeout):
        lock.acquire(timeout=0)
        return
    holder = f"{device} is in use by {_holder(file)}"
    if when_held == "fail":
        raise DeviceError(f"lock=fail: {holder}; wait for it, or pass lock=wait")
    wait_for(lock, f"{holder}; lock=fail ends instead", progress)


def file_lock(file: Path, **settings: Any) -> BaseFileLock:
    """A lock on a file beside which one can be made: where none can, as below /proc, filelock waits for ever.

    Args:
        file: Made where it is missing.
        settings: As for `filelock.FileLock`.

    Raises:
        OSError: No file can be made there.
    """
    if not os.path.lexists(file):
        tempfile.TemporaryFile(dir=file.parent).close()
    return FileLock(file, **settings)


def wait_for(lock: BaseFileLock, what: str, progress: Progress) -> None:
    """Acquires a lock, and says at once and then each minute what it waits for."""
    seconds = 0.0
    while True:
        with contextlib.suppress(Timeout):
            lock.acquire(timeout=seconds, poll_interval=_POLL_S)
            return
        progress.waiting(what)
        seconds = _AGAIN_S


def _write(note: Path, what: str) -> None:
    since = datetime.now().astimezone().strftime("%H:%M:%S")
    holder = {"pid": os.getpid(), "user": _user(), "since": since, "what": what}
    # The folder is writable for everybody: a link in it may lead to any of our files.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with contextlib.suppress(OSError):  # the note only informs waiting processes
        descriptor = os.open(note, flags, _SHARED_FILE)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(holder, file)
            os.fchmod(descriptor, _SHARED_FILE)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _holder(file: Path) -> str:
    try:
        note = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        return f"esr {note['what']} (process {note['pid']} of {note['user']}, since {note['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another esr"
