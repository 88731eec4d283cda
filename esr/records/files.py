"""Record files: found, read, checked, upgraded, written whole or not at all."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from esr.config.terms import ROLES, Role
from esr.errors import RecordError
from esr.records.check import check
from esr.records.document import FORMAT, VERSION, Document, Header, Verdict
from esr.records.network import Estimate, Network
from esr.records.upgrade import upgraded
from esr.system import files

FILE_NAME = "record.json"
LARGEST_BYTES = 256 * 1024 * 1024
"""A larger file is no record."""
ROOM = 1 << 20
"""Bytes that must be free where a record is to be written: the record of a long run takes half as many."""
OLDEST = 2

_DOCUMENT = msgspec.json.Decoder(Document)
_HEADER = msgspec.json.Decoder(Header)


class NotARecord(RecordError):  # noqa: N818 - a finding of its own: the file may be meant for something else
    """A sound JSON file that does not call itself a record."""


@dataclass(frozen=True)
class Record:
    """One evaluation: a candidate, the baseline it was paired with, and everything needed to recompute each figure."""

    document: Document
    path: Path | None = None
    """The file; `None`: not written."""

    @property
    def candidate(self) -> Network:
        """The network that was asked about."""
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
        """Roles of the networks that could not be measured to the end."""
        return tuple(role for role in ROLES if self.document.networks.of(role).failure)


def decode(raw: bytes) -> Document:
    """The document in a record's bytes, upgraded where an older esr wrote it, and checked.

    Raises:
        NotARecord: JSON of another kind.
        RecordError: Cut or changed, of a version that is not read, or holding what no record holds.
    """
    try:
        document = _DOCUMENT.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        document = _second_try(raw, error)
    check(document)
    return document


def _second_try(raw: bytes, error: Exception) -> Document:
    """An older record, upgraded; else why the bytes could not be decoded, the plainest reason first."""
    try:
        header = _HEADER.decode(raw)
    except msgspec.ValidationError:
        header = Header()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise RecordError(
            f"not JSON ({error}); a record is written whole, so this file was changed"
        ) from None
    if header.format != FORMAT:
        raise NotARecord(f"not a record of esr: no 'format': '{FORMAT}' in it")
    if header.version is None or not OLDEST <= header.version <= VERSION:
        remedy = "measure again" if header.version is not None and header.version < OLDEST else "update esr"
        raise RecordError(
            f"record of version {header.version}: this esr reads versions {OLDEST} to {VERSION}; {remedy}"
        )
    if header.version == VERSION:
        raise RecordError(str(error))
    try:
        return _DOCUMENT.decode(upgraded(raw, header.version))
    except (msgspec.MsgspecError, KeyError, TypeError, AttributeError) as wrong:
        raise RecordError(f"of version {header.version}, but not complete ({wrong})") from None


def load_record(path: str | os.PathLike[str]) -> Record:
    """Reads and checks a record: the file, or the folder that holds its `record.json`.

    Raises:
        RecordError: It cannot be read, is not JSON, or is not a record.
    """
    file = Path(path)
    if file.is_dir():
        file /= FILE_NAME
    try:
        return Record(decode(read_bytes(file)), file)
    except RecordError as error:
        raise type(error)(f"{file}: {error}") from None


def read_bytes(file: Path) -> bytes:
    """The content of a record file.

    Raises:
        RecordError: It cannot be read, or is too large for a record.
    """
    try:
        if file.stat().st_size > LARGEST_BYTES:
            raise RecordError(f"larger than {LARGEST_BYTES >> 20} MiB")
        return file.read_bytes()
    except OSError as error:
        raise RecordError(f"cannot be read ({error.strerror})") from error


def require_room(folder: Path) -> None:
    """Refuses a folder on a disk that is as good as full, before anything is measured for it.

    Raises:
        RecordError: Less is free than a record with its trace may take, 1 MiB.
    """
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
    if (free := shutil.disk_usage(there).free) < ROOM:
        raise RecordError(
            f"{folder}: {free // 1024} KiB are free there, and a record with its trace may take {ROOM // 1024}; "
            "make room, or choose another folder with out=DIR"
        )


def write_record(document: Document, folder: Path) -> Record:
    """Writes `record.json` into a folder: the old file or the new one, never half.

    Raises:
        RecordError: The document holds what no record holds, or the folder cannot be written.
    """
    raw = msgspec.json.encode(document)
    checked = decode(raw)
    target = folder / FILE_NAME
    files.write(target, msgspec.json.format(raw, indent=1), RecordError)
    return Record(checked, target)
