"""Record files: read, checked, upgraded, and written whole or not at all."""

import hashlib
import os
import shutil
import stat
from codecs import BOM_UTF8
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from esr.config.terms import ROLES, Role
from esr.errors import RecordError
from esr.records.check import check, check_raw
from esr.records.document import FORMAT, VERSION, Document, Verdict
from esr.records.network import Estimate, Network
from esr.records.recompute import require_consistent
from esr.records.upgrade import OLDEST, upgraded
from esr.system import files
from esr.text import indented, shown_path

FILE_NAME = "record.json"
LARGEST_BYTES = 256 * 1024 * 1024
"""A larger file is no record."""
ROOM = 1 << 20
"""Bytes that must be free for a record: a long run's takes half as many."""

_DIGEST = b'"digest": '
"""The last key of a record's file."""
_DOCUMENT = msgspec.json.Decoder(Document)


class NotARecord(RecordError):  # noqa: N818 - not always an error: the file may serve something else
    """Valid JSON that does not call itself a record."""


class Record(msgspec.Struct, frozen=True):
    """One evaluation: a candidate, the baseline it was paired with, and everything needed to recompute each figure."""

    document: Document
    path: Path | None = None
    """The file; `None`: not written."""

    def __repr__(self) -> str:
        """One line: the networks, the ratio, the status and the file."""
        ratio = f"{self.ratio.value:.3f}" if self.ratio else "no ratio"
        names = f"{self.candidate.name} beside {self.baseline.name}"
        return f"<Record {names}: {ratio}, {self.verdict.status}{f', {self.path}' if self.path else ''}>"

    @property
    def candidate(self) -> Network:
        """The network under test."""
        return self.document.networks.candidate

    @property
    def baseline(self) -> Network:
        """The network it was paired with."""
        return self.document.networks.baseline

    @property
    def ratio(self) -> Estimate | None:
        """Candidate's over baseline's runtime; `None` where one of them failed."""
        return self.document.timing.ratio

    @property
    def verdict(self) -> Verdict:
        """Status and reasons."""
        return self.document.verdict

    @property
    def failed(self) -> tuple[Role, ...]:
        """Roles of the networks whose measurement failed."""
        return tuple(role for role in ROLES if self.document.networks.of(role).failure)

    def named(self, name: str) -> "Record":
        """The same with another name of the candidate."""
        networks = replace(self.document.networks, candidate=replace(self.candidate, name=name))
        return replace(self, document=replace(self.document, networks=networks))


def decode(raw: bytes) -> Document:
    """The document in a record's bytes, upgraded where an older `esr` wrote it, and checked except for its raw parts.

    Raises:
        NotARecord: JSON of another kind.
        RecordError: Truncated or altered, of a later version, or holding what no record holds.
    """
    try:
        document = _DOCUMENT.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        document = _second_try(raw, error)
    check(document)
    return document


def require_unaltered(document: Document, raw: bytes) -> None:
    """Refuses a record whose figures do not follow from its samples, or are not those that `esr` wrote.

    Args:
        document: The record.
        raw: The file's bytes; line breaks and the notation of numbers may be another program's.

    Raises:
        RecordError: The line names the figure that contradicts the samples, or says that the digest differs.
    """
    require_consistent(document)
    if document.digest is not None and raw != _with_digest(raw):
        anew = b""
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # in a part that is left raw
            anew = indented(msgspec.json.decode(raw)).rstrip().encode()
        if anew != _with_digest(anew):
            raise RecordError("not as esr wrote it, by its digest; the file was altered, take the original")


def _with_digest(raw: bytes) -> bytes:
    """A record's text with the digest of what stands above it in the place of the one that it has."""
    above = raw.rpartition(_DIGEST)[0]
    return above + _DIGEST + b'"%s"\n}' % hashlib.sha256(above).hexdigest().encode()


def _second_try(raw: bytes, error: Exception) -> Document:
    """An older record, upgraded; otherwise the plainest reason why the bytes could not be decoded."""
    try:
        plain = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as wrong:
        altered = "esr writes records whole, so this file was truncated or altered"
        was_one = raw.lstrip(b"\0 \t\r\n")[:1] in (b"{", b"", b"\xff", b"\xfe")  # or UTF-16, as PowerShell writes
        remedy = altered if was_one else f"name a {FILE_NAME}, or its folder"
        raise RecordError(f"not JSON ({wrong}); {remedy}") from None
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise NotARecord(f"not a record of esr: no 'format': '{FORMAT}' in it; name a {FILE_NAME}, or its folder")
    version: Any = plain.get("version")
    if version == VERSION:
        raise RecordError(str(error))
    if version not in range(OLDEST, VERSION):
        raise RecordError(
            f"record of version {version!r:.20}: this esr reads versions {OLDEST} to {VERSION}; update esr"
        )
    try:
        return _DOCUMENT.decode(msgspec.json.encode(upgraded(plain, version)))
    except (msgspec.MsgspecError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as wrong:
        raise RecordError(f"not what a record of version {version} holds ({wrong!r})") from None


def load_record(path: str | os.PathLike[str]) -> Record:
    """Reads a record and checks it to the last sample: the file, or the folder that holds its `record.json`.

    Raises:
        RecordError: It cannot be read, is not JSON, is not a record, or its figures do not follow from its samples.
    """
    file = Path(path)
    if file.is_dir():
        file /= FILE_NAME
    try:
        document = decode(raw := read_bytes(file))
        check_raw(document)
        require_unaltered(document, raw)
    except RecordError as error:
        raise type(error)(f"{shown_path(file)}: {error}") from None
    return Record(document, file)


def read_bytes(file: str | os.PathLike[str]) -> bytes:
    """The content of a record file.

    Raises:
        RecordError: It cannot be read, or is too large for a record.
    """
    try:
        with open(os.open(file, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as opened:  # a pipe is not waited for
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode):  # a device never ends
                raise RecordError("not a file")
            if status.st_size > LARGEST_BYTES:
                raise RecordError(f"larger than {LARGEST_BYTES >> 20} MiB")
            return opened.read().removeprefix(BOM_UTF8)  # which an editor may have put there
    except OSError as error:
        raise RecordError(f"cannot be read ({error.strerror})") from error


def require_room(folder: Path) -> None:
    """Refuses a folder on a nearly full disk, before anything is measured.

    Raises:
        RecordError: Less than `ROOM` is free.
    """
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
    if (free := shutil.disk_usage(there).free) < ROOM:
        raise RecordError(
            f"{folder}: {free // 1024} KiB are free there, and a record with its trace may take {ROOM // 1024}; "
            "free some space, or choose another folder with out=DIR"
        )


def write_record(document: Document, folder: Path) -> Record:
    """Writes `record.json` into a folder; an interrupted write leaves the old file intact.

    Raises:
        RecordError: The document holds what no record holds, or the folder cannot be written.
    """
    raw = _with_digest(indented(document).encode())
    checked = decode(raw)
    check_raw(checked)
    require_unaltered(checked, raw)
    files.write(folder / FILE_NAME, raw, RecordError)
    return Record(checked, folder / FILE_NAME)
