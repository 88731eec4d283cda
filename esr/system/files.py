"""Puts a file in its place whole: the old one or the new one is there, never half of one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from esr.errors import ConfigError


def replace(target: Path, content: bytes) -> None:
    """Writes beside the target, and moves that there once it is on the disk; the folder is made where it is missing.

    The file gets the mode that the umask gives a new one. An error or an interrupt leaves nothing behind.

    Raises:
        OSError: It cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", suffix=".part", delete=False) as file:
            part = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())
        os.replace(part, target)
        part = None
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


@contextmanager
def writing(path: Path, remedy: str) -> Iterator[None]:
    """Reports a failure to write `path` in one line that ends with the remedy.

    Raises:
        ConfigError: The file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(f"cannot write {path} ({error.strerror}); {remedy}") from error


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
