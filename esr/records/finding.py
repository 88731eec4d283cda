"""Finds files that may be records; unreadable ones are reported, never skipped silently."""

import os
import stat
from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path

import msgspec

from esr.errors import RecordError
from esr.records.files import FILE_NAME, NotARecord, Record, load_record
from esr.text import shown_path

_HERE = f".{os.sep}"
"""Beginning of the paths that `os.scandir` gives below the current folder."""


class LeftOut(msgspec.Struct, frozen=True):
    """A file or folder left out of a ranking."""

    path: Path
    reason: str


def json_files(paths: Sequence[str | os.PathLike[str]], left_out: list[LeftOut]) -> Iterator[tuple[str, bool]]:
    """Named files, and every `*.json` below named folders; links to folders are not followed.

    Args:
        paths: Files and folders.
        left_out: Receives what cannot be read.

    Yields:
        Each file once, and True if it was named itself.

    Raises:
        RecordError: A path does not exist or cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    for path in [str(Path(one)) for one in paths]:
        folder = stat.S_ISDIR(_mode(path))
        for file in _below(path, left_out) if folder else [path]:
            try:
                status = os.stat(file)
            except FileNotFoundError:
                continue  # a link that leads nowhere
            except OSError as error:
                left_out.append(_unreadable(error))
                continue
            # A pipe would be waited for.
            if stat.S_ISREG(status.st_mode) and (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                yield file, not folder


def records_at(path: Path, left_out: list[LeftOut]) -> list[Record]:
    """Every record below a folder, or the one that is named; other JSON in a folder is no concern.

    Args:
        path: A file or a folder.
        left_out: Receives what cannot be read.

    Raises:
        RecordError: There is no record, or the one that is named is damaged.
    """
    if path.is_dir() and (path / FILE_NAME).exists():
        path /= FILE_NAME
    records = []
    for file, named in json_files([path], left_out):
        try:
            records.append(load_record(file))
        except RecordError as error:
            if named:
                raise
            if os.path.basename(file) == FILE_NAME or not isinstance(error, NotARecord):
                left_out.append(LeftOut(Path(file), str(error).removeprefix(f"{shown_path(file)}: ")))
    if not records:
        raise RecordError(f"{shown_path(path)}: contains no record; esr model=NAME writes one, a file {FILE_NAME}")
    return records


def _mode(path: str) -> int:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = 0
    except OSError as error:
        raise RecordError(f"{shown_path(path)}: cannot be read ({error.strerror})") from error
    if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
        raise RecordError(f"{shown_path(path)}: no such file or folder; esr model=NAME writes records below outputs")
    return mode


def _below(folder: str, left_out: list[LeftOut]) -> Iterator[str]:
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as found:  # half the time of `os.walk`
                entries = sorted(found, key=attrgetter("name"))
        except OSError as error:
            left_out.append(_unreadable(error))
            continue
        waiting += [entry.path for entry in reversed(entries) if entry.is_dir(follow_symlinks=False)]
        yield from (entry.path.removeprefix(_HERE) for entry in entries if entry.name.endswith(".json"))


def _unreadable(error: OSError) -> LeftOut:
    return LeftOut(Path(error.filename), f"cannot be read ({error.strerror})")
