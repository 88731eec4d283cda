"""Atomic file writes: the old file or the new one is there, never half of one."""

import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from esr.errors import ConfigError, EsrError

ANOTHER_OUT = "choose another folder with out=DIR"
"""Remedy for results that cannot be written."""


@contextmanager
def writing(target: Path, remedy: str = ANOTHER_OUT, error: type[EsrError] = ConfigError) -> Iterator[None]:
    """Reports a failure to write `target` in one line that ends with the remedy.

    Raises:
        EsrError: Of the given type, if the file cannot be written.
    """
    try:
        yield
    except OSError as fault:
        raise error(f"{target}: cannot be written ({fault.strerror or fault}); {remedy}") from fault


def write(target: Path, content: bytes, error: type[EsrError], remedy: str = ANOTHER_OUT) -> None:
    """As `replace`, within `writing`."""
    with writing(target, remedy, error):
        replace(target, content)


def replace(target: Path, content: bytes) -> None:
    """Writes beside the target and moves the file there once it is on the disk; a missing folder is made.

    The file gets the mode that the umask gives a new one. An error or an interrupt leaves nothing behind.

    Raises:
        OSError: It cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".part")
    part = Path(name)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())
        os.replace(part, target)
    finally:
        part.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path with its `~` resolved; an unknown user's home stays as it is, as in a shell."""
    return Path(os.path.expanduser(path))


def dated(out: str, kind: str) -> Path:
    """Makes a folder of its own for what begins now: `OUT/KIND/DAY/TIME`, numbered where that is taken."""
    now = datetime.now()
    return exclusive(Path(out, kind, f"{now:%Y-%m-%d}", f"{now:%H-%M-%S}"))


def exclusive(folder: Path) -> Path:
    """Makes a folder that did not exist, with a number after its name where the name is taken."""
    for number in itertools.count(1):
        free = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            free.parent.mkdir(parents=True, exist_ok=True)
            free.mkdir()
        except FileExistsError:
            if free.parent.is_dir():
                continue
        except OSError:
            pass  # whoever writes there fails at the same folder, with an error that is understood
        return free
    raise AssertionError("numbers do not end")
