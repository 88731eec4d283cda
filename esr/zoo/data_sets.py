"""Fetches a data set: archives are downloaded, checked, unpacked beside their place, and moved there as a whole."""

import contextlib
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from esr.config.schema import DataConf
from esr.data import layouts
from esr.data.pairing import paired
from esr.errors import DataError, DownloadError
from esr.zoo.catalogue import Asset, Remote
from esr.zoo.download import FetchError, download, held, mirrored, mismatch
from esr.zoo.unpack import UnpackError, unpack

ARCHIVES = ".fetched"
"""Folder below the data folder for downloads; an unfinished one waits there for the next attempt."""

StepDone = Callable[[str, int, int | None], None]
"""Called with the step in words, and its bytes so far and in total; the total is `None` where it is not known."""


def fetch_set(asset: Asset, home: Path, report: StepDone) -> tuple[Path, str]:
    """Makes `home` a data folder in which `data=NAME` is found.

    Args:
        asset: The data set.
        home: The data folder; made where it is missing.
        report: Called after every chunk.

    Returns:
        The set's folder, and in words its number of images.

    Raises:
        DownloadError: An archive cannot be fetched, is not the right one, or is refused.
        DataError: Something else lies in the set's place.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = home / f".{asset.name}.lock"
        report("waiting for another esr fetch" if lock.exists() else "looking", 0, None)
        with held(lock):  # whoever waited finds the set there afterwards
            if there := _there(asset.name, home):
                return there[0], f"{_counted(there[1], asset.images)}, there already"
            try:
                archives = [_archive(remote, asset, home, report) for remote in asset.files]
                images = _unpacked(asset, archives, home, report)
            finally:
                with contextlib.suppress(OSError):  # another set's archive is in it, or it was never made
                    (home / ARCHIVES).rmdir()
    except OSError as error:
        raise DownloadError(
            f"{asset.name} cannot be written to {home} ({error.strerror or error}): make room or make it "
            "writable, or set ESR_DATA=FOLDER to another place"
        ) from error
    return home / asset.name, _counted(images, asset.images)


def _counted(images: int, complete: int | None) -> str:
    """The number of images in words, beside that of the whole set where it differs."""
    return f"{images} images" + (f", but the whole set has {complete}" if complete not in (None, images) else "")


def _there(name: str, home: Path) -> tuple[Path, int] | None:
    own = home / name
    if own.is_dir() and not any(own.iterdir()):
        return None  # made by hand, to put the images there
    try:
        return layouts.find(name, home)
    except DataError as error:
        raise DataError(f"{error}; or move {own} away to have the set fetched") from error


def _archive(remote: Remote, asset: Asset, home: Path, report: StepDone) -> Path:
    """The archive that the user has put into the data folder, or else the downloaded one."""
    by_hand = home / remote.file
    if by_hand.is_file():
        if fault := mismatch(by_hand, remote.bytes, remote.sha256):
            raise FetchError(f"{by_hand} {fault}", "move it away to have the right one fetched")
        return by_hand
    url = remote.url or mirrored(remote.file)
    if url is None:
        raise DownloadError(
            f"{asset.name}: no official address is known; get the images at {asset.page} and put them into "
            f"{home / asset.name}, or their archive as {by_hand} and fetch again, or set ESR_MIRROR=URL to a "
            f"place that has {remote}"
        )
    try:
        return download(
            url,
            home / ARCHIVES / remote.file,
            bytes=remote.bytes,
            sha256=remote.sha256,
            progress=partial(report, f"fetching {remote.file}"),
            setting="ESR_DATA",
        )
    except FetchError as error:
        missing = [str(one) for one in asset.files if not (home / one.file).is_file()]
        raise DownloadError(
            f"{asset.name}: {error.fault}; {error.remedy}, or download {' and '.join(missing)} into {home} and "
            "fetch again"
        ) from error


def _unpacked(asset: Asset, archives: list[Path], home: Path, report: StepDone) -> int:
    """Makes the set's folder, whole or not at all, and removes its downloads; returns the number of images."""
    staging = home / f".{asset.name}.unpacked"
    shutil.rmtree(staging, ignore_errors=True)  # of an attempt that was killed
    try:
        for archive in archives:
            unpack(archive, staging, progress=partial(report, "unpacking"))
        root = _set_below(staging, asset.name)
        images = len(paired(layouts.find_files(DataConf(name=asset.name, root=str(root)))))
        root.replace(home / asset.name)
    except UnpackError as error:
        _discard(archives, home)
        raise DownloadError(f"{asset.name}: {error}") from error
    except DataError as error:
        _discard(archives, home)
        fault = str(error).replace(f"{staging}/", "").partition("; ")[0]  # its remedies are for a set that is there
        named = " and ".join(map(str, archives))
        raise DownloadError(
            f"{asset.name}: {named} was not unpacked, because data={asset.name} could not use it: {fault}; get the "
            f"whole set from {asset.page}"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    _discard(archives, home)
    return images


def _set_below(root: Path, name: str) -> Path:
    """The folder with the set's content: many archives put it into a single folder, or into two nested ones."""
    while not layouts.is_laid_out(name, root):
        children = list(root.iterdir())
        if len(children) != 1 or not children[0].is_dir():
            break
        root = children[0]
    return root


def _discard(archives: list[Path], home: Path) -> None:
    """Removes downloads; files that the user has put there stay."""
    for archive in archives:
        if archive.parent == home / ARCHIVES:
            archive.unlink(missing_ok=True)
