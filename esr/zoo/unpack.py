"""Zip archives from strangers: their images come out below one folder, or nothing does."""

import errno
import lzma
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from esr.errors import DownloadError
from esr.images.pixels import SUFFIXES
from esr.zoo.download import Progress

CHUNK = 1 << 18
"""Bytes per write: after each, progress may stop the work."""
HIDDEN = ("__MACOSX", ".")
"""What the names of files begin with that systems leave in archives."""
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, ValueError)
_READING = (None, errno.EINVAL)
"""Error numbers of a decompressor and of a seek to nowhere; a disk that takes no more has others."""
_NAME_BYTES = 255
"""The longest path of a member, so that every file system takes it."""
_ENCRYPTED = 0x1  # bit of a member's flags


@dataclass(frozen=True)
class Limits:
    """The most that an archive may become; every benchmark set stays far below."""

    bytes: int = 16 << 30
    files: int = 20_000
    ratio: float = 50.0
    """Unpacked bytes per byte of archive: images are compressed already, so real sets stay near 1."""


class UnpackError(DownloadError):
    """An archive that is damaged or hostile; nothing of it was kept."""


def unpack(
    archive: Path, folder: Path, *, limits: Limits | None = None, progress: Progress | None = None
) -> int:
    """Writes the images of a zip archive into a folder, below the paths they have in it.

    The list of members is checked as a whole before the first is written: every path has to stay below the
    folder, links, devices and encrypted members are refused, and so is more than `limits`. What is no image
    by its name is left out.

    Args:
        archive: the file.
        folder: made where it isn't there; after an error it may hold some of the images.
        limits: by default `Limits()`.
        progress: called with the bytes written and to be written.

    Returns:
        How many images were written.

    Raises:
        UnpackError: the archive is damaged, or is refused.
        OSError: a file cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _checked(opened.infolist(), archive, limits or Limits())
            _make_room(members, archive, folder)
            _write_all(opened, members, folder, progress)
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _READING:
            raise
        why = ascii(" ".join(str(error).split()))[1:-1]  # it may quote a member's name
        raise UnpackError(f"{archive} is damaged ({why}): fetch it again") from error
    return len(members)


def _checked(members: Sequence[zipfile.ZipInfo], archive: Path, limits: Limits) -> list[zipfile.ZipInfo]:
    """The images among the members, once none of all the members is dangerous."""

    def refuse(reason: str) -> None:
        raise UnpackError(f"{archive} was not unpacked: {reason}; get it from its official place")

    if len(members) > limits.files:
        refuse(f"it holds {len(members):,} members, at most {limits.files:,} are unpacked")
    total = sum(member.file_size for member in members)
    size = archive.stat().st_size
    if total > limits.bytes or total > limits.ratio * size:
        refuse(f"its {size:,} bytes would become {total:,}, as a zip bomb's do")
    seen: set[str] = set()
    for member in members:
        if reason := _danger(member):
            refuse(f"{_shown(member.filename)} {reason}")
        if not member.is_dir():
            if member.filename.casefold() in seen:
                refuse(f"{_shown(member.filename)} is in it twice")
            seen.add(member.filename.casefold())
    for name in seen:
        if any(str(parent) in seen for parent in PurePosixPath(name).parents):
            refuse(f"{_shown(name)} lies below a file")
    images = [member for member in members if _is_image(member)]
    if not images:
        refuse("there is no image in it")
    return images


def _danger(member: zipfile.ZipInfo) -> str | None:
    """Why a member must not be unpacked; none if it may."""
    kind = stat.S_IFMT(member.external_attr >> 16)  # 0 where the archive was made on Windows
    if kind == stat.S_IFLNK:
        return "is a link"
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a device"
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted"
    return _dangerous_name(member.filename)


def _dangerous_name(name: str) -> str | None:
    if name.startswith(("/", "\\")) or ":" in name.partition("/")[0]:
        return "is an absolute path"
    if ".." in name.replace("\\", "/").split("/"):
        return "leads out of the folder"
    if not name or "\\" in name or not name.isprintable() or len(name.encode()) > _NAME_BYTES:
        return "is no portable name"
    return None


def _is_image(member: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(member.filename)
    hidden = any(part.startswith(HIDDEN) for part in path.parts)
    return not member.is_dir() and not hidden and path.suffix.lower() in SUFFIXES


def _make_room(members: Sequence[zipfile.ZipInfo], archive: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    needed = sum(member.file_size for member in members)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DownloadError(
            f"{archive} becomes {needed:,} bytes and {folder.parent} has {free:,} free: make room, or set "
            "ESR_DATA=FOLDER to another disk"
        )


def _write_all(
    archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo], folder: Path, progress: Progress | None
) -> None:
    total = sum(member.file_size for member in members)
    done = 0

    def wrote(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(done, total)

    for member in members:
        target = folder / member.filename
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(archive, member, target, wrote)


def _write(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, wrote: Callable[[int], None]
) -> None:
    """`zipfile` ends a member at its stated size and checks its CRC, so no member outgrows what was checked."""
    with archive.open(member) as source, target.open("xb") as file:
        while chunk := source.read(CHUNK):
            file.write(chunk)
            wrote(len(chunk))


def _shown(name: str) -> str:
    shown = ascii(name)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."  # noqa: PLR2004 - fit for one line
