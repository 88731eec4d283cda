"""Downloads that end in exactly the right file or in one clear line.

Built on `requests`: pooch starts every attempt from zero, and a cut at 440 of 449 MB would cost all of it.
"""

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import requests
from filelock import FileLock, Timeout
from urllib3.exceptions import HTTPError

from esr._version import __version__
from esr.errors import DownloadError
from esr.zoo.connection import ELSEWHERE, BrokenOff, asked, broken_off, hopeless, is_silent, shown, silent

Progress = Callable[[int, int | None], None]
"""Called with the bytes there so far and the bytes there will be, none where the server doesn't say."""

CHUNK = 1 << 14
"""Bytes per read at most, and the least that has to come for an attempt not to count as in vain."""
HTTP_OK, HTTP_PARTIAL, HTTP_BAD_RANGE = 200, 206, 416
HTTP_TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
"""Answers that another attempt may turn into the file."""


@dataclass(frozen=True)
class Patience:
    """How long a download waits before it gives up."""

    connect_s: float = 3.0
    """Seconds for a connection to the host; short, so that offline machines get on."""
    stall_s: float = 20.0
    """Seconds without a byte after which the connection counts as dead; nor is a longer pause granted to a server."""
    slow_s: float = 30.0
    """Seconds in which the headers, and then each `CHUNK` bytes, have to come."""
    attempts: int = 4
    """Attempts in a row that bring nothing new, or next to nothing."""
    backoff_s: float = 0.5
    """Pause before the second attempt; doubles with each further one in vain."""
    lock_s: float = 600.0
    """Seconds to wait for another process that fetches the same file."""


PATIENCE = Patience()


class FetchError(DownloadError):
    """A failed download, its message in two halves for who can say more: `fault` and `remedy`."""

    def __init__(self, fault: str, remedy: str) -> None:
        super().__init__(f"{fault}; {remedy}")
        self.fault = fault
        self.remedy = remedy


def download(
    url: str,
    target: Path,
    *,
    bytes: int | None = None,  # noqa: A002 - the key's name in conf/
    sha256: str | None = None,
    progress: Progress | None = None,
    patience: Patience = PATIENCE,
    setting: str = "ESR_ZOO",
) -> Path:
    """Fetches a file over HTTP or HTTPS to exactly `target`, and checks it before it gets that name.

    Data arrive in `TARGET.part`, which stays when a download breaks off and is continued by the next call
    (where the server's ETag or the stated digest can vouch for the join). A target that is there already
    and is right is not fetched again; one that is wrong is left alone. Two processes never write one file.
    Proxies come from the environment; `ESR_MIRROR=URL` replaces all of `url` but its last path component.

    Args:
        url: where the file is.
        target: where it goes; folders are made.
        bytes: the file's size; more than that is never written.
        sha256: the file's digest, hexadecimal.
        progress: called when an attempt begins, with what is there already, and after every chunk.
        patience: time limits and number of attempts.
        setting: the environment variable that puts `target` elsewhere, for what to do about a full disk.

    Returns:
        `target`.

    Raises:
        DownloadError: nothing could be fetched, or something else came, or it cannot be written.
    """
    url = _usable(url)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        lock = target.with_name(f".{target.name}.lock")
        with FileLock(lock, timeout=patience.lock_s):
            try:
                if not target.exists():
                    _Transfer(url, target, bytes, sha256, progress, patience, setting).run()
                elif fault := mismatch(target, bytes, sha256):
                    raise FetchError(f"{target} is there but {fault}", "move it away to fetch the right file")
            finally:
                lock.unlink(missing_ok=True)  # safe while held: who waits for it sees that, and locks anew
    except Timeout as error:
        raise FetchError(
            f"{target.name} has been in the hands of another process for {patience.lock_s:g} s",
            "wait until that has fetched it",
        ) from error
    except OSError as error:
        raise FetchError(
            f"{target.name} cannot be written to {target.parent} ({error.strerror or error})",
            f"make room or make it writable, or set {setting}=FOLDER to another place",
        ) from error
    return target


def refuse_offline(file: str) -> None:
    """Refuses to fetch a file while the user has said that there is no network.

    Raises:
        FetchError: `ESR_OFFLINE` is set.
    """
    if os.environ.get("ESR_OFFLINE", "0") not in ("", "0"):
        raise FetchError(f"{file} is not fetched while ESR_OFFLINE is set", "unset it")


def mirrored(file: str) -> str | None:
    """Where the mirror has a file; none without a mirror."""
    mirror = os.environ.get("ESR_MIRROR")
    return f"{mirror.rstrip('/')}/{file}" if mirror else None


def mismatch(path: Path, bytes: int | None, sha256: str | None) -> str | None:  # noqa: A002 - as in `download`
    """How a file differs from its stated size and digest, as the end of a sentence; none if it doesn't."""
    if not path.is_file():
        return "is no file"
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


@dataclass
class _Transfer:
    """One file on its way, over as many attempts as it takes."""

    url: str
    target: Path
    bytes: int | None
    sha256: str | None
    progress: Progress | None
    patience: Patience
    setting: str

    def __post_init__(self) -> None:
        self.part = Path(f"{self.target}.part")
        self.etag = Path(f"{self.target}.part.etag")

    def run(self) -> None:
        """Attempts, verifies, and moves into place."""
        inherited = self._size() > 0
        try:
            self._complete()
        except OSError:  # of the disk; on a full one, a part of no use must not stay
            self._continuable()
            raise
        fault = mismatch(self.part, self.bytes, self.sha256)
        if fault and inherited:  # the old part may be to blame: once more, from zero
            self._discard()
            self._complete()
            fault = mismatch(self.part, self.bytes, self.sha256)
        if fault:
            self._discard()
            raise self._failed(
                f"what came {fault}", f"the file was replaced or a proxy alters it, {ELSEWHERE}"
            )
        self.part.replace(self.target)
        self.etag.unlink(missing_ok=True)

    def _complete(self) -> None:
        """Repeats attempts until the part is as long as the file."""
        start = furthest = self._size()
        in_vain = 0
        while True:
            try:
                return self._attempt()
            except BrokenOff as fault:
                size = self._size()
                in_vain = 0 if size - furthest >= CHUNK else in_vain + 1
                furthest = max(furthest, size)
                given_up = in_vain >= self.patience.attempts or fault.pause_s > self.patience.stall_s
                if given_up or (fault.unreachable and furthest == start):
                    size = self._continuable()
                    if not size:
                        self._discard()
                    kept = f"; {size:,} bytes are kept in {self.part} for the next attempt" if size else ""
                    raise self._failed(
                        f"{fault}{kept}", f"check the network and HTTPS_PROXY, or {ELSEWHERE}"
                    ) from fault
                time.sleep(max(fault.pause_s, self.patience.backoff_s * 2 ** max(0, in_vain - 1)))

    def _attempt(self) -> None:
        offset = self._continuable()
        if offset and offset == self.bytes:
            return
        headers = {"User-Agent": f"esr/{__version__}", "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if tag := self._remembered():
                headers["If-Range"] = tag
        limits = (self.patience.connect_s, self.patience.stall_s)
        if is_silent(self.url, self.patience.connect_s):
            raise silent(self.url, self.patience.connect_s)
        try:
            response = asked(
                partial(requests.get, self.url, headers=headers, stream=True, timeout=limits),
                self.patience.slow_s,
            )
        except (OSError, HTTPError, ValueError) as error:  # bare ones for bad redirects and certificate files
            raise self._network_fault(error) from error
        with response:
            begin, total = self._accept(response, offset)
            try:
                self._write(response, begin, total)
            except HTTPError as error:
                raise self._network_fault(error) from error

    def _accept(self, response: requests.Response, offset: int) -> tuple[int, int | None]:
        """Where the body belongs in the file, and how long the file will be."""
        reason = "".join(filter(str.isprintable, response.reason or ""))
        answer = f"the server answers {response.status_code} {reason}".rstrip()
        if response.status_code in HTTP_TRANSIENT:
            pause = response.headers.get("Retry-After", "")
            if pause.isdecimal():  # it may also be a date
                raise BrokenOff(f"{answer} and asks to wait {int(pause)} s", pause_s=int(pause))
            raise BrokenOff(answer)
        if response.status_code == HTTP_BAD_RANGE and offset:
            self._discard()
            raise BrokenOff("the server cannot continue the file")
        if response.status_code not in (HTTP_OK, HTTP_PARTIAL):
            raise self._failed(answer, f"check the URL, or {ELSEWHERE}")
        page = "html" in response.headers.get("Content-Type", "")
        if page and self.bytes is None and self.sha256 is None:
            raise self._failed("the server sends a web page", f"a login or proxy page came, {ELSEWHERE}")
        begin, total = _extent(response)
        tag, remembered = response.headers.get("ETag"), self._remembered()
        changed = begin > 0 and tag is not None and remembered is not None and tag != remembered
        if begin not in (0, offset) or changed:
            self._discard()
            raise BrokenOff("the server continues another file, or at the wrong place")
        if self.bytes is not None and total not in (None, self.bytes):
            what = ", a web page," if page else ""
            raise self._failed(
                f"what the server sends{what} has {total} bytes instead of the expected {self.bytes}",
                f"the file was replaced, or a login or proxy page came, {ELSEWHERE}",
            )
        return begin, total

    def _write(self, response: requests.Response, begin: int, total: int | None) -> None:
        expected = total if self.bytes is None else self.bytes
        free = shutil.disk_usage(self.part.parent).free
        if expected is not None and free < expected - begin:
            raise self._failed(
                f"it needs {expected - begin:,} bytes and {self.part.parent} has {free:,} free",
                f"make room, or set {self.setting}=FOLDER to another disk",
            )
        if begin == 0:
            self._remember(response)
        done = begin
        if self.progress:
            self.progress(done, expected)
        with self.part.open("ab" if begin else "wb") as file:
            for piece in _pieces(response, self.patience):
                done += len(piece)
                if self.bytes is not None and done > self.bytes:
                    break
                file.write(piece)
                if self.progress:
                    self.progress(done, expected)
            file.flush()
            os.fsync(file.fileno())
        if self.bytes is not None and done > self.bytes:
            self._discard()
            raise self._failed(f"the server sends more than the expected {self.bytes} bytes", ELSEWHERE)
        if expected is not None and done < expected:
            raise BrokenOff(f"the connection ends at {done:,} of {expected:,} bytes")

    def _remember(self, response: requests.Response) -> None:
        """Keeps a strong ETag beside the part: only such a one can vouch that the file is still the same."""
        tag = response.headers.get("ETag", "")
        if tag.startswith('"') and "Content-Encoding" not in response.headers:
            self.etag.write_text(tag, encoding="latin-1")
        else:
            self.etag.unlink(missing_ok=True)

    def _remembered(self) -> str | None:
        return self.etag.read_text(encoding="latin-1") if self.etag.exists() else None

    def _continuable(self) -> int:
        """Bytes of the part that a request may continue; a join that nobody can vouch for is not made."""
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

    def _network_fault(self, error: Exception) -> Exception:
        if told := hopeless(error):
            return self._failed(*told)
        return broken_off(error, self.url, self.patience.connect_s, self.patience.stall_s)

    def _failed(self, reason: str, remedy: str) -> FetchError:
        return FetchError(f"{self.target.name} could not be fetched from {shown(self.url)}: {reason}", remedy)


def _pieces(response: requests.Response, patience: Patience) -> Iterator[bytes]:
    """The body as it comes, so that a cut loses nothing and a trickle is noticed."""
    since, count = time.monotonic(), 0
    while piece := response.raw.read1(CHUNK, decode_content=True):
        yield piece
        count += len(piece)
        if time.monotonic() - since >= patience.slow_s:
            if count < CHUNK:
                raise BrokenOff(f"only {count:,} bytes came in {patience.slow_s:g} s")
            since, count = time.monotonic(), 0


def _extent(response: requests.Response) -> tuple[int, int | None]:
    """First byte of the body within the file (-1: not told), and the file's length where the server tells."""
    if response.status_code == HTTP_PARTIAL:
        stated = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if stated is None:
            return -1, None
        return int(stated[1]), None if stated[2] == "*" else int(stated[2])
    length = response.headers.get("Content-Length", "")
    encoded = "Content-Encoding" in response.headers
    return 0, int(length) if length.isdecimal() and not encoded else None


def _usable(url: str) -> str:
    """The URL to fetch from, after ESR_MIRROR; refused unless it is one of HTTP or HTTPS."""
    try:
        elsewhere = mirrored(urlsplit(url).path.rpartition("/")[2])
        url = elsewhere or url
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable:
        whose = "ESR_MIRROR" if os.environ.get("ESR_MIRROR") else "the URL"
        raise FetchError(
            f"{shown(url)} is no address to fetch from", f"{whose} must begin with https:// or http://"
        )
    return url
