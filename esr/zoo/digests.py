"""Digests that nobody has stated: recorded when a file first comes, and held to from then on."""

import json
import re
from functools import partial
from pathlib import Path

from filelock import FileLock

from esr.errors import DownloadError
from esr.system import files as atomic
from esr.zoo.download import FetchError, Patience, Progress, download, sha256_of

NAME = "digests.json"
"""The file, in the folder of the files it speaks of: file name -> sha256."""


def recorded(path: Path) -> str | None:
    """The sha256 that was recorded for a file; none if it never came.

    Raises:
        DownloadError: the record is damaged.
    """
    return _read(path.parent / NAME).get(path.name)


def record(path: Path, sha256: str) -> None:
    """Keeps a file's digest, beside those that are kept already.

    Raises:
        DownloadError: the record is damaged.
        OSError: it cannot be written.
    """
    file = path.parent / NAME
    lock = file.with_name(f".{NAME}.lock")
    with FileLock(lock):
        try:
            digests = _read(file) | {path.name: sha256}
            atomic.replace(file, (json.dumps(digests, indent=2, sort_keys=True) + "\n").encode())
        finally:
            lock.unlink(missing_ok=True)


def download_held(
    url: str,
    target: Path,
    *,
    bytes: int | None,  # noqa: A002 - as in `download`
    sha256: str | None,
    progress: Progress | None = None,
    patience: Patience | None = None,
) -> None:
    """As `download`; without a stated digest the recorded one counts, or this file's is recorded.

    Raises:
        DownloadError: as `download` raises it, or the record is damaged or cannot be written.
    """
    expected = sha256 or recorded(target)
    try:
        fetch = partial(download, patience=patience) if patience else download
        fetch(url, target, bytes=bytes, sha256=expected, progress=progress)
        if expected is None:
            record(target, sha256_of(target))
    except FetchError as error:
        raise explained(error, target, recorded=sha256 is None) from error
    except OSError as error:
        raise DownloadError(
            f"{target.parent / NAME} cannot be written ({error.strerror}): make it writable"
        ) from error


def explained(error: FetchError, path: Path, *, recorded: bool) -> FetchError:
    """The same error; where the digest it complains of is a recorded one, it says so."""
    if not recorded or "sha256" not in error.fault:
        return error
    return FetchError(
        error.fault,
        f"{error.remedy}; the expected digest is that of the first download, kept in {path.parent / NAME}: "
        "remove it there if the file was replaced on purpose",
    )


def _read(file: Path) -> dict[str, str]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DownloadError(f"{file} cannot be read ({error}): mend or delete it") from error
    sound = isinstance(content, dict) and all(
        isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) for value in content.values()
    )
    if not sound:
        raise DownloadError(f"{file} does not hold digests by file name: mend or delete it")
    return dict(content)
