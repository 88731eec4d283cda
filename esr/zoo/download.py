"""Downloads that end in exactly the right file or in one clear line.

Built on `requests`: pooch cannot resume, and a connection lost at 440 of 449 MB would cost all of them.
"""

import contextlib
import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import requests
from filelock import Timeout
from urllib3.exceptions import HTTPError

from esr.errors import DownloadError
from esr.system.lock import file_lock
from esr.text import one_line
from esr.zoo.connection import CHECK_NETWORK, CHECK_URL, ELSEWHERE, Patience, explained, session, shown

BytesDone = Callable[[int, int | None], None]
"""Called with the bytes so far and in total; the total is `None` where the server does not state it."""

CHUNK = 1 << 14
"""Most bytes per read; an attempt that brings fewer counts as in vain."""

PATIENCE = Patience()
_REPLACED = f"the file was replaced, or a login or proxy page came, {ELSEWHERE}"


class FetchError(DownloadError):
    """A failed download, its message in two parts so that a caller can extend it: `fault` and `remedy`."""

    def __init__(self, fault: str, remedy: str) -> None:
        super().__init__(f"{fault}; {remedy}")
        self.fault = fault
        self.remedy = remedy


class _Interrupted(Exception):  # noqa: N818 - leads to another attempt, never seen by users
    """An attempt that another one may continue."""


def download(
    url: str,
    target: Path,
    *,
    bytes: int | None = None,  # noqa: A002 - the key's name in conf/
    sha256: str | None = None,
    progress: BytesDone | None = None,
    patience: Patience = PATIENCE,
    setting: str = "ESR_ZOO",
) -> Path:
    """Fetches a file over HTTP or HTTPS to exactly `target`, and checks it before it gets that name.

    Data arrive in `TARGET.part`, which stays when a download breaks off and is continued by the next call
    where the server's ETag or the stated digest can vouch for the join. An existing target is not fetched
    again, and is left alone if it is wrong. Two processes never write the same file. Proxies come from the
    environment; `ESR_MIRROR=URL` replaces all of `url` but its last path component, `ESR_OFFLINE=1` forbids
    downloads.

    Args:
        url: The official address.
        target: The file; its folder is made where it is missing.
        bytes: The file's size; more than that is never written.
        sha256: The file's digest, hexadecimal.
        progress: Called at the start of an attempt with the bytes already there, and after every chunk.
        patience: Time limits and number of attempts.
        setting: Environment variable that moves `target` elsewhere, named when the disk is full.

    Returns:
        `target`.

    Raises:
        FetchError: The download failed, brought another file, or cannot be written.
    """
    refuse_offline(target.name)
    url = _usable(url)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with held(target.with_name(f".{target.name}.lock"), patience.lock_s):
            if not target.exists():
                _Transfer(url, target, bytes, sha256, progress, patience, setting).run()
            elif fault := mismatch(target, bytes, sha256):
                raise FetchError(f"{target} is there but {fault}", "move it away to fetch the right file")
    except Timeout as error:
        fault = f"{target.name} has been locked by another process for {patience.lock_s:g} s"
        raise FetchError(fault, "wait until that has fetched it") from error
    except OSError as error:
        fault = f"{target.name} cannot be written to {target.parent} ({error.strerror or error})"
        remedy = f"make room or make it writable, or set {setting}=FOLDER to another place"
        raise FetchError(fault, remedy) from error
    return target


@contextlib.contextmanager
def held(lock: Path, timeout: float = -1) -> Iterator[None]:
    """Lets one process at a time into the block, and removes the lock's file after it.

    Args:
        lock: The file.
        timeout: Seconds to wait for another process; -1: for ever.

    Raises:
        Timeout: Another process has held the lock for so long.
        OSError: The file cannot be made.
    """
    with file_lock(lock, timeout=timeout):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)  # safe while held: a waiting process notices and locks again


def refuse_offline(file: str) -> None:
    """Raises an error where the user has forbidden downloads.

    Raises:
        FetchError: `ESR_OFFLINE` is set.
    """
    if os.environ.get("ESR_OFFLINE", "0") not in ("", "0"):
        raise FetchError(f"{file} is not fetched while ESR_OFFLINE is set", "unset it")


def mirrored(file: str) -> str | None:
    """The address of a file on the mirror; `None` without a mirror."""
    mirror = os.environ.get("ESR_MIRROR")
    return f"{mirror.rstrip('/')}/{file}" if mirror else None


def mismatch(path: Path, bytes: int | None, sha256: str | None) -> str | None:  # noqa: A002 - as in `download`
    """A file's deviation from its stated size and digest, as the end of a sentence; `None` if there is none."""
    if not path.is_file():
        return "is not a file"
    size = path.stat().st_size
    if bytes is not None and size != bytes:
        return f"has {size} bytes instead of the expected {bytes}"
    if sha256 is not None and (found := sha256_of(path)) != sha256.lower():
        return f"has sha256 {found} instead of the expected {sha256.lower()}"
    return None


def sha256_of(path: Path) -> str:
    """The digest of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_of_all(files: Mapping[str, Path]) -> str:
    """sha256 over the names and the contents of files, in their order.

    A file's own digest is remembered for as long as its size and time of change stay.
    """
    whole = hashlib.sha256()
    for name, file in files.items():
        status = file.stat()
        digest = _remembered_sha256(file, status.st_size, status.st_mtime_ns)
        whole.update(f"{name}\0{digest}\n".encode(errors="surrogateescape"))
    return whole.hexdigest()


@lru_cache(maxsize=20_000)
def _remembered_sha256(path: Path, _: int, __: int) -> str:
    return sha256_of(path)


@dataclass
class _Transfer:
    """The download of one file, in as many attempts as it takes."""

    url: str
    target: Path
    bytes: int | None
    sha256: str | None
    progress: BytesDone | None
    patience: Patience
    setting: str

    def __post_init__(self) -> None:
        self.part = Path(f"{self.target}.part")
        self.etag = Path(f"{self.target}.part.etag")

    def run(self) -> None:
        """Downloads, verifies, and moves into place."""
        inherited = self._size() > 0
        try:
            self._complete()
        except OSError:  # of a full disk, where a useless part must not stay
            self._continuable()
            raise
        fault = mismatch(self.part, self.bytes, self.sha256)
        if fault and inherited:  # the old part may be to blame: once more, from zero
            self._discard()
            self._complete()
            fault = mismatch(self.part, self.bytes, self.sha256)
        if fault:
            self._discard()
            raise self._failed(f"the download {fault}", _REPLACED)
        self.part.replace(self.target)
        self.etag.unlink(missing_ok=True)

    def _complete(self) -> None:
        """Resumes until the part is as long as the file."""
        start = furthest = self._size()
        in_vain = 0
        while True:
            try:
                return self._attempt(reconnect=furthest > start)
            except _Interrupted as fault:
                size = self._size()
                in_vain = 0 if size - furthest >= CHUNK else in_vain + 1
                furthest = max(furthest, size)
                if in_vain >= self.patience.attempts:
                    raise self._failed(str(fault), CHECK_NETWORK) from fault
                time.sleep(self.patience.backoff_s * 2 ** max(0, in_vain - 1))

    def _attempt(self, *, reconnect: bool) -> None:
        offset = self._continuable()
        if offset and offset == self.bytes:
            return
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset and (tag := self._remembered()):
            headers["If-Range"] = tag
        timeout = (self.patience.connect_s, self.patience.stall_s)
        with session(self.patience, reconnect=reconnect) as opened:
            try:
                response = opened.get(self.url, headers=headers, stream=True, timeout=timeout)
            except (OSError, HTTPError, ValueError) as error:  # bare for bad redirects and certificate files
                raise self._failed(*explained(error, self.url, self.patience)) from error
            try:
                with response:
                    self._write(response, *self._accept(response, offset))
            except HTTPError as error:
                raise _Interrupted(explained(error, self.url, self.patience)[0]) from error

    def _accept(self, response: requests.Response, offset: int) -> tuple[int, int | None]:
        """First byte of the body within the file, and the file's length where the server states it."""
        status, headers = response.status_code, response.headers
        if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
            self._discard()
            raise _Interrupted("the server cannot continue the file")
        if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
            pause = headers.get("Retry-After", "")
            wait = f" and asks to wait {pause} s" if pause.isdecimal() else ""
            answer = one_line(f"the server answers {status} {response.reason or ''}")
            raise self._failed(answer + wait, CHECK_URL)
        page = "html" in headers.get("Content-Type", "")
        if page and self.bytes is None and self.sha256 is None:
            raise self._failed("the server sends a web page", _REPLACED)
        begin, total = _extent(response)
        tag, remembered = headers.get("ETag"), self._remembered()
        changed = begin > 0 and tag is not None and remembered is not None and tag != remembered
        if begin not in (0, offset) or changed:
            self._discard()
            raise _Interrupted("the server continues another file, or at the wrong place")
        if self.bytes is not None and total not in (None, self.bytes):
            what = f"the {'web page' if page else 'file'} that the server sends"
            raise self._failed(f"{what} has {total} bytes instead of the expected {self.bytes}", _REPLACED)
        return begin, total

    def _write(self, response: requests.Response, begin: int, total: int | None) -> None:
        expected = total if self.bytes is None else self.bytes
        free = shutil.disk_usage(self.part.parent).free
        if expected is not None and free < expected - begin:
            room = f"it needs {expected - begin:,} bytes and {self.part.parent} has {free:,} free"
            raise self._failed(room, f"make room, or set {self.setting}=FOLDER to another disk")
        if begin == 0:
            self._remember(response)
        done = since_done = begin
        since = time.monotonic()
        report = self.progress or (lambda *_: None)
        report(done, expected)
        with self.part.open("ab" if begin else "wb") as file:
            while piece := response.raw.read1(CHUNK, decode_content=True):  # as it comes: a cut loses nothing
                done += len(piece)
                if self.bytes is not None and done > self.bytes:
                    self._discard()
                    raise self._failed(f"the server sends more than the expected {self.bytes} bytes", _REPLACED)
                file.write(piece)
                report(done, expected)
                if time.monotonic() - since >= self.patience.slow_s:
                    if done - since_done < CHUNK:
                        raise _Interrupted(f"only {done - since_done:,} bytes came in {self.patience.slow_s:g} s")
                    since, since_done = time.monotonic(), done
            file.flush()
            os.fsync(file.fileno())
        if expected is not None and done < expected:
            raise _Interrupted(f"the connection ends at {done:,} of {expected:,} bytes")

    def _remember(self, response: requests.Response) -> None:
        """Keeps a strong ETag beside the part; a weak one does not promise that the bytes are the same."""
        tag = response.headers.get("ETag", "")
        if tag.startswith('"') and "Content-Encoding" not in response.headers:
            self.etag.write_text(tag, encoding="latin-1")
        else:
            self.etag.unlink(missing_ok=True)

    def _remembered(self) -> str | None:
        return self.etag.read_text(encoding="latin-1") if self.etag.exists() else None

    def _continuable(self) -> int:
        """Bytes of the part that a request may continue; a part that nothing can vouch for is discarded."""
        size = self._size()
        too_long = self.bytes is not None and size > self.bytes
        if too_long or (self.sha256 is None and self._remembered() is None):
            self._discard()
            return 0
        return size

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.etag.unlink(missing_ok=True)

    def _failed(self, reason: str, remedy: str) -> FetchError:
        kept = self._continuable()
        if not kept:
            self._discard()
        kept_too = f"; {kept:,} bytes are kept in {self.part} for the next attempt" if kept else ""
        file, place = self.target.name, shown(self.url)
        return FetchError(f"{file} could not be fetched from {place}: {reason}{kept_too}", remedy)


def _extent(response: requests.Response) -> tuple[int, int | None]:
    """First byte of the body within the file (-1: not stated), and the file's length where it is stated."""
    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
        stated = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if stated is None:
            return -1, None
        return int(stated[1]), None if stated[2] == "*" else int(stated[2])
    length = response.headers.get("Content-Length", "")
    encoded = "Content-Encoding" in response.headers
    return 0, int(length) if length.isdecimal() and not encoded else None


def _usable(url: str) -> str:
    """The URL to fetch from, after ESR_MIRROR; refused unless it is one of HTTP or HTTPS."""
    with contextlib.suppress(ValueError):
        url = mirrored(urlsplit(url).path.rpartition("/")[2]) or url
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname:
            return url
    whose = "ESR_MIRROR" if os.environ.get("ESR_MIRROR") else "the URL"
    raise FetchError(f"{shown(url)} is no address to fetch from", f"{whose} must begin with https:// or http://")
