"""Unpacks untrusted zip archives: their images come out below one folder, or none does."""

import errno
import lzma
import shutil
import stat
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from esr.errors import DownloadError
from esr.images.pixels import SUFFIXES
from esr.text import escaped, one_line, quoted
from esr.zoo.download import BytesDone

CHUNK = 1 << 18
"""Bytes per write: after each, progress may stop the work."""
HIDDEN = ("__MACOSX", ".")
"""Prefixes of files that operating systems leave in archives."""
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, ValueError)
_READING = (None, errno.EINVAL)
"""Error numbers of a decompressor and of an impossible seek; those of a full disk differ."""
_NAME_BYTES = 255
"""The longest path of a member, so that every file system takes it."""
_ENCRYPTED = 0x1  # bit of a member's flags


@dataclass(frozen=True)
class UnpackLimits:
    """The most that an archive may become; every benchmark set stays far below."""

    bytes: int = 16 << 30
    files: int = 20_000
    ratio: float = 50.0
    """Unpacked bytes per byte of archive: images are compressed already, so real sets stay near 1."""


class UnpackError(DownloadError):
    """An archive that is damaged or hostile; nothing of it was kept."""


def unpack(
    archive: Path, folder: Path, *, limits: UnpackLimits | None = None, progress: BytesDone | None = None
) -> int:
    """Writes the images of a zip archive into a folder, under their paths in the archive.

    All members are checked before the first is written: every path has to stay below the folder; links,
    devices, encrypted members and more than `limits` are refused. Files that are not images are left out.

    Args:
        archive: The file.
        folder: Made where it is missing; after an error it may hold some of the images.
        limits: By default `UnpackLimits()`.
        progress: Called after every write.

    Returns:
        The number of images.

    Raises:
        UnpackError: The archive is damaged, or is refused.
        DownloadError: The disk has too little room.
        OSError: A file cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            images = _checked(opened.infolist(), archive, limits or UnpackLimits())
            _make_room(images, archive, folder)
            _write(opened, images, folder, progress or (lambda *_: None))
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _READING:
            raise
        why = escaped(one_line(str(error)), longest=200)  # it may quote a member's name
        raise UnpackError(f"{archive} is damaged ({why}): fetch it again") from error
    return len(images)


def _checked(members: Sequence[zipfile.ZipInfo], archive: Path, limits: UnpackLimits) -> list[zipfile.ZipInfo]:
    """The images among the members, provided that every member is harmless."""
    reason = _reason_to_refuse(members, archive.stat().st_size, limits)
    images = [] if reason else [member for member in members if _is_image(member)]
    if not images:
        reason = reason or "there is no image in it"
        raise UnpackError(f"{archive} was not unpacked: {reason}; get it from its official place")
    return images


def _reason_to_refuse(members: Sequence[zipfile.ZipInfo], size: int, limits: UnpackLimits) -> str | None:
    if len(members) > limits.files:
        return f"it holds {len(members):,} members, at most {limits.files:,} are unpacked"
    total = sum(member.file_size for member in members)
    if total > limits.bytes or total > limits.ratio * size:
        return f"its {size:,} bytes would become {total:,}, as a zip bomb's do"
    seen: set[str] = set()
    for member in members:
        if danger := _danger(member):
            return f"{quoted(member.filename)} {danger}"
        if not member.is_dir():
            if member.filename.casefold() in seen:
                return f"{quoted(member.filename)} is in it twice"
            seen.add(member.filename.casefold())
    below = (name for name in seen if any(str(parent) in seen for parent in PurePosixPath(name).parents))
    return next((f"{quoted(name)} lies below a file" for name in below), None)


def _danger(member: zipfile.ZipInfo) -> str | None:
    """The reason why a member must not be unpacked; `None` if it may be."""
    name = member.filename
    kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where the archive was made on Windows
    odd = not name or "\\" in name or not name.isprintable() or len(name.encode()) > _NAME_BYTES
    dangers = {
        "is a link": kind == stat.S_IFLNK,
        "is a device": kind not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK),
        "is encrypted": member.flag_bits & _ENCRYPTED,
        "is an absolute path": name.startswith(("/", "\\")) or ":" in name.partition("/")[0],
        "leads out of the folder": ".." in name.replace("\\", "/").split("/"),
        "is not a portable name": odd,
    }
    return next((danger for danger, found in dangers.items() if found), None)


def _is_image(member: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(member.filename)
    hidden = any(part.startswith(HIDDEN) for part in path.parts)
    return not member.is_dir() and not hidden and path.suffix.lower() in SUFFIXES


def _make_room(images: Sequence[zipfile.ZipInfo], archive: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    needed = sum(member.file_size for member in images)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DownloadError(
            f"{archive} becomes {needed:,} bytes and {folder.parent} has {free:,} free: make room, or set "
            "ESR_DATA=FOLDER to another disk"
        )


def _write(archive: zipfile.ZipFile, images: Sequence[zipfile.ZipInfo], folder: Path, progress: BytesDone) -> None:
    """`zipfile` ends a member at its stated size and checks its CRC, so no member outgrows the checked size."""
    total = sum(member.file_size for member in images)
    done = 0
    for member in images:
        target = folder / member.filename
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as source, target.open("xb") as file:
            while chunk := source.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
