"""Fetches several assets at once; each ends in one line, whatever happens to the others."""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Protocol

from esr.config.schema import CheckpointConf
from esr.data import layouts
from esr.errors import DataError, DownloadError, EsrError
from esr.zoo import weights as zoo
from esr.zoo.catalogue import Asset, checkpoint_of
from esr.zoo.data_sets import StepDone, fetch_set
from esr.zoo.download import FetchError, sha256_of

GRACE_S = 2.0
"""Seconds for interrupted downloads to clean up; one that waits for a silent server is abandoned."""

Converter = Callable[[Path, Path, CheckpointConf, dict[str, str]], Path]
"""Writes a published file's state dict as safetensors into a folder, with notes in the header; returns its path."""


@dataclass(frozen=True)
class Fetched:
    """The result of one asset."""

    asset: Asset
    path: Path | None
    """`None` if it could not be fetched."""
    line: str
    """Source and size in a few words, or the error message."""


class Watcher(Protocol):
    """Follows the progress; called from several threads."""

    def at(self, asset: Asset, step: str, done: int, total: int | None) -> None:
        """Called with the step in words, and its bytes so far and in total."""

    def finished(self, fetched: Fetched) -> None:
        """Called once for each asset."""


class _Stopped(Exception):  # noqa: N818 - ends a thread's work after Ctrl-C, never seen outside
    pass


def fetch(
    assets: Sequence[Asset],
    watcher: Watcher,
    *,
    folder: Path | None = None,
    jobs: int = 4,
    convert: Converter | None = None,
) -> list[Fetched]:
    """Fetches several assets.

    Interrupted, it leaves complete files, and parts that the next call continues: `NAME.part` beside a weight
    file, an archive's in the data folder's `.fetched`.

    Args:
        assets: From the catalogue.
        watcher: Follows the progress.
        folder: Destination; `None`: the zoo folder and the data folder.
        jobs: Assets at once.
        convert: Applied to weights; the result goes beside the published file.

    Returns:
        The results in the order of `assets`; no error of the user, the server or the disk is raised.
    """
    stop = threading.Event()

    def work(asset: Asset) -> Fetched:
        def report(step: str, done: int, total: int | None) -> None:
            if stop.is_set():
                raise _Stopped
            watcher.at(asset, step, done, total)

        result = _fetched(asset, folder, convert, report)
        watcher.finished(result)
        return result

    with ThreadPool(min(jobs, len(assets))) as pool:  # daemon threads, which do not delay the exit
        results = pool.map_async(work, assets, chunksize=1)
        try:
            return results.get()
        except KeyboardInterrupt:
            stop.set()
            results.wait(GRACE_S)
            raise


def _fetched(asset: Asset, folder: Path | None, convert: Converter | None, report: StepDone) -> Fetched:
    try:
        report("looking", 0, None)
        if asset.kind == "data":
            path, line = fetch_set(asset, folder or layouts.data_home(), report)
        else:
            path, line = _fetch_weights(asset, folder, report)
            if convert:
                report("converting", 0, None)
                notes = {"network": asset.name, "origin": path.name, "origin_sha256": sha256_of(path)}
                notes |= {"licence": asset.licence} if asset.licence else {}
                target = folder or zoo.own_folder() or path.parent
                path, line = convert(path, target, checkpoint_of(asset.name), notes), f"{line}, converted"
    except EsrError as error:
        return Fetched(asset, None, str(error))
    return Fetched(asset, path, line)


def _fetch_weights(asset: Asset, folder: Path | None, report: StepDone) -> tuple[Path, str]:
    (remote,) = asset.files
    places = _places(asset, folder)
    if path := zoo.find(asset.name, remote, places):
        return path, "there already"
    destination = folder or zoo.own_folder()
    targets = [destination / remote.file] if destination else []
    try:
        return zoo.fetch_to(targets, remote, places, partial(report, f"fetching {remote.file}")), "fetched"
    except FetchError as error:
        raise DownloadError(f"{asset.name}: {error}") from error


def present(asset: Asset, folder: Path | None = None) -> Path | None:
    """The place of an asset, by name and size alone; `None` if it is missing.

    Args:
        asset: The weights or the data set.
        folder: The folder searched; `None`: the zoo folders and the data folder.
    """
    if asset.kind == "data":
        try:
            there = layouts.find(asset.name, folder or layouts.data_home())
        except DataError:  # a folder without images
            return None
        return there[0] if there else None
    files = filter(os.path.isfile, _places(asset, folder))  # unlike Path.is_file, it says no to an impossible name
    return next((file for file in files if asset.bytes in (None, file.stat().st_size)), None)


def _places(asset: Asset, folder: Path | None) -> list[Path]:
    return [place / asset.files[0].file for place in ([folder] if folder else zoo.zoo_folders())]
