"""Conditions of the process without which no command can work: a current folder, and enough open files."""

import errno
import os
import resource

from esr.errors import ConfigError, EsrError
from esr.text import shown_path

_LEAST_FILES = 64
"""Open files of an evaluation: pipes of two workers, telemetry, libraries that are being imported."""
_WANTED_FILES = 1024
_SHOWN = 60
"""Characters of a path that is too long."""


def require() -> None:
    """Raises the limit of open files as far as it may be raised.

    Raises:
        ConfigError: The current folder is gone or not readable, or too few files may be open.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise ConfigError(f"the current folder is gone ({error.strerror}); go to another one with cd") from None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    allowed = _WANTED_FILES if hard == unlimited else min(hard, _WANTED_FILES)
    if soft != unlimited and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    if soft != unlimited and soft < _LEAST_FILES:
        raise ConfigError(f"{_files(soft)}; at least {_LEAST_FILES} are needed: start a shell that allows more")


def explained(error: OSError) -> EsrError | None:
    """The line on an error that no command handles by itself; `None`: a defect of esr."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return ConfigError(f"{_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])}; allow more, as ulimit -n 1024")
    if error.errno in (errno.ENAMETOOLONG, errno.ELOOP) and error.filename is not None:
        name = os.fsdecode(error.filename)
        return ConfigError(
            f"{shown_path(name[:_SHOWN])}…: {error.strerror} ({len(name)} characters); name another file"
        )
    return None


def _files(limit: int) -> str:
    return f"too few files may be open at once: {limit} (ulimit -n)"
