"""Fetches many things at once; each ends in one line, whatever became of the others."""

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from esr.data import layouts
from esr.errors import DataError, DownloadError, EsrError
from esr.zoo import digests
from esr.zoo import weights as zoo
from esr.zoo.catalogue import Remote, Thing, checkpoint_of
from esr.zoo.data_sets import Report, fetch_set
from esr.zoo.download import FetchError, mismatch, refuse_offline

GRACE_S = 2.0
"""Seconds that an interrupted download has to put things in order; one that waits for a silent server is left."""


@dataclass(frozen=True)
class Options:
    """How things are fetched."""

    folder: Path | None = None
    """Where to; none: the zoo folder and the data folder."""
    jobs: int = 4
    """Things at once."""
    safetensors: bool = False
    """Whether weights are converted, beside the published file."""


@dataclass(frozen=True)
class Outcome:
    """What became of one thing."""

    thing: Thing
    path: Path | None
    """Where it is now; none: it could not be fetched."""
    line: str
    """How that came, or why it didn't."""


class Watcher(Protocol):
    """Told what happens, from several threads."""

    def at(self, thing: Thing, what: str, done: int, total: int | None) -> None:
        """So many bytes of this are done."""

    def finished(self, outcome: Outcome) -> None:
        """The thing is there, or is not to be had."""


class _Stopped(Exception):  # noqa: N818 - ends a thread's work after Ctrl-C, never seen outside
    pass


def fetch(things: Sequence[Thing], options: Options, watcher: Watcher) -> list[Outcome]:
    """Fetches things, `options.jobs` at a time.

    Interrupted, it leaves whole files and what the next call continues from: `NAME.part` beside a weight file,
    an archive's in the data folder's `.fetched`.

    Returns:
        What became of each, in the order of `things`; no error of the user's, the server's or the disk's is raised.
    """
    outcomes: dict[str, Outcome] = {}
    defects: list[BaseException] = []
    pending = iter(things)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set() and (thing := next(pending, None)):
            try:
                outcome = _outcome(thing, options, watcher, stop)
                outcomes[thing.name] = outcome
                watcher.finished(outcome)
            except _Stopped:
                return
            except BaseException as error:  # raised again in the main thread
                defects.append(error)
                return

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(options.jobs, len(things)))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        stop.set()
        for thread in threads:
            thread.join(GRACE_S)
        raise
    if defects:
        raise defects[0]
    return [outcomes[thing.name] for thing in things]


def _outcome(thing: Thing, options: Options, watcher: Watcher, stop: threading.Event) -> Outcome:
    def report(what: str, done: int, total: int | None) -> None:
        if stop.is_set():
            raise _Stopped
        watcher.at(thing, what, done, total)

    try:
        if thing.kind == "data":
            path, line = fetch_set(thing, options.folder or layouts.data_home(), report)
        else:
            path, line = _fetch_weights(thing, options, report)
    except EsrError as error:
        return Outcome(thing, None, str(error))
    except (
        OSError
    ) as error:  # of looking for it; what goes wrong with a download or a conversion is told there
        where = error.filename or "a folder"
        return Outcome(
            thing, None, f"{thing.name}: {where} cannot be used ({error.strerror}); name another folder"
        )
    return Outcome(thing, path, line)


def _fetch_weights(thing: Thing, options: Options, report: Report) -> tuple[Path, str]:
    (remote,) = thing.files
    folder = options.folder or zoo.own_folder()
    if folder is None:
        raise DownloadError(
            f"{thing.name}: {remote.file} can be kept nowhere, no zoo folder is writable: set ESR_ZOO=FOLDER"
        )
    places = [folder] if options.folder else zoo.zoo_folders()
    path = next((place / remote.file for place in places if (place / remote.file).is_file()), None)
    line = "there already"
    if path is None:
        path, line = folder / remote.file, "fetched"
        _download(thing, remote, path, report)
    elif fault := mismatch(path, remote.bytes, remote.sha256 or digests.recorded(path)):
        error = FetchError(f"{thing.name}: {path} {fault}", "move it away to have the right one fetched")
        raise digests.explained(error, path, recorded=remote.sha256 is None)
    if options.safetensors:
        from esr.zoo.convert import to_safetensors  # noqa: PLC0415 - torch, for conversion alone

        report("converting", 0, None)
        path = to_safetensors(path, folder, thing, checkpoint_of(thing.name))
        line += ", converted"
    return path, line


def _download(thing: Thing, remote: Remote, path: Path, report: Report) -> None:
    try:
        refuse_offline(remote.file)
        digests.download_held(
            remote.url or "",
            path,
            bytes=remote.bytes,
            sha256=remote.sha256,
            progress=lambda done, total: report(f"fetching {remote.file}", done, total),
        )
    except FetchError as error:
        raise DownloadError(
            f"{thing.name}: {error.fault}; {error.remedy}, or download {remote.url} ({remote.described}) and put "
            f"it into {path.parent}"
        ) from error


def present(thing: Thing, folder: Path | None = None) -> Path | None:
    """Where a thing is, by name and size alone; none if it is not there.

    Args:
        thing: the weights or the data set.
        folder: where to look; none: in the zoo folders and the data folder.
    """
    if thing.kind == "data":
        try:
            there = layouts.find(thing.name, folder or layouts.data_home())
        except DataError:  # a folder without images
            return None
        return there[0] if there else None
    (remote,) = thing.files
    places = [folder] if folder else zoo.zoo_folders()
    for path in (place / remote.file for place in places):
        # os.path's answer to a name that cannot be is no
        if os.path.isfile(path) and remote.bytes in (None, path.stat().st_size):
            return path
    return None
