"""A data set on its way: archives fetched, checked, unpacked beside their place, and moved there as a whole."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from esr.data import layouts
from esr.errors import DataError, DownloadError
from esr.zoo import digests
from esr.zoo.catalogue import Remote, Thing
from esr.zoo.download import FetchError, download, mirrored, mismatch, refuse_offline, sha256_of
from esr.zoo.unpack import UnpackError, unpack

ARCHIVES = ".fetched"
"""Folder below the data folder in which archives arrive; a cut download waits there for the next attempt."""

Report = Callable[[str, int, int | None], None]
"""Called with what is being done, and with the bytes done and to be done (none: not known)."""


def fetch_set(thing: Thing, home: Path, report: Report) -> tuple[Path, str]:
    """Makes `home` a data folder in which `data=NAME` is found.

    Args:
        thing: the data set.
        home: the data folder; made where it isn't there.
        report: told of every chunk.

    Returns:
        The set's folder, and in words how many images it has and whether they were there already.

    Raises:
        DownloadError: an archive cannot be had, is not the right one, or is refused.
        DataError: something else lies where the set should.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _held(home / f".{thing.name}.lock", report):
            if there := _there(thing.name, home):
                return there[0], f"{there[1]} images, there already"
            try:
                archives = [_archive(remote, thing, home, report) for remote in thing.files]
                target, images = _unpacked(thing, archives, home, report)
            finally:
                with contextlib.suppress(OSError):  # another set's archive is in it, or it was never made
                    (home / ARCHIVES).rmdir()
    except OSError as error:
        raise DownloadError(
            f"{thing.name} cannot be written to {home} ({error.strerror or error}): make room or make it "
            "writable, or set ESR_DATA=FOLDER to another place"
        ) from error
    return target, f"{images} images"


@contextmanager
def _held(file: Path, report: Report) -> Iterator[None]:
    """One process at a time; who waits finds the set there afterwards."""
    lock = FileLock(file)
    report("waiting for another esr fetch" if file.exists() else "looking", 0, None)
    with lock:
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def _there(name: str, home: Path) -> tuple[Path, int] | None:
    own = home / name
    if own.is_dir() and not any(own.iterdir()):
        return None  # made by hand, to put the images there
    try:
        return layouts.find(name, home)
    except DataError as error:
        raise DataError(f"{error}; or move {own} away to have the set fetched") from error


def _archive(remote: Remote, thing: Thing, home: Path, report: Report) -> Path:
    """The archive that the user has put into the data folder, or else the fetched one."""
    by_hand = home / remote.file
    expected = remote.sha256 or digests.recorded(by_hand)
    if by_hand.is_file():
        if fault := mismatch(by_hand, remote.bytes, expected):
            error = FetchError(f"{by_hand} {fault}", "move it away to have the right one fetched")
            raise digests.explained(error, by_hand, recorded=remote.sha256 is None)
        return by_hand
    url = remote.url or mirrored(remote.file)
    if url is None:
        raise DownloadError(
            f"{thing.name}: no official address is known; get the images at {thing.page} and put them into "
            f"{home / thing.name}, or their archive as {by_hand} and fetch again, or set ESR_MIRROR=URL to a "
            f"place that has {remote.file} ({remote.described})"
        )
    try:
        refuse_offline(remote.file)
        return download(
            url,
            home / ARCHIVES / remote.file,
            bytes=remote.bytes,
            sha256=expected,
            progress=lambda done, total: report(f"fetching {remote.file}", done, total),
            setting="ESR_DATA",
        )
    except FetchError as error:
        told = digests.explained(error, by_hand, recorded=remote.sha256 is None)
        raise DownloadError(
            f"{thing.name}: {told.fault}; {told.remedy}, or {_by_hand(thing, home)} and fetch again"
        ) from error


def _by_hand(thing: Thing, home: Path) -> str:
    """What the user can download instead; nothing that is there already."""
    missing = [remote for remote in thing.files if not (home / remote.file).is_file()]
    archives = " and ".join(f"{remote.url or remote.file} ({remote.described})" for remote in missing)
    return f"download {archives} into {home}"


def _unpacked(thing: Thing, archives: list[Path], home: Path, report: Report) -> tuple[Path, int]:
    """The set's folder and its number of images; it appears whole, and what was fetched for it goes."""
    staging = home / f".{thing.name}.unpacked"
    shutil.rmtree(staging, ignore_errors=True)  # of an attempt that was killed
    try:
        for archive in archives:
            unpack(archive, staging, progress=lambda done, total: report("unpacking", done, total))
        root = _set_below(staging, thing.name)
        images = layouts.images_at(thing.name, root)
        for remote, archive in zip(thing.files, archives, strict=True):
            if remote.sha256 is None:
                digests.record(home / remote.file, sha256_of(archive))
        root.replace(home / thing.name)
    except (UnpackError, DataError) as error:
        _discard(archives, home)
        raise DownloadError(f"{thing.name}: {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    _discard(archives, home)
    return home / thing.name, images


def _set_below(root: Path, name: str) -> Path:
    """The folder whose content is the set's: archives often put all they hold into one folder, or two."""
    while not layouts.is_laid_out(name, root):
        children = list(root.iterdir())
        if len(children) != 1 or not children[0].is_dir():
            break
        root = children[0]
    return root


def _discard(archives: list[Path], home: Path) -> None:
    """Removes what was fetched; what the user has put there stays."""
    for archive in archives:
        if archive.parent == home / ARCHIVES:
            archive.unlink(missing_ok=True)
