"""Well-formed, damaged and hostile zip archives."""

from __future__ import annotations

import io
import stat
import zipfile
from pathlib import Path


def png(side: int = 32, seed: int = 0) -> bytes:
    """A small image of noise."""
    import numpy as np

    from esr.images.files import encode_png

    return encode_png(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))


def zipped(
    members: dict[str, bytes] | list[tuple[str | zipfile.ZipInfo, bytes]],
    compression: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """An archive with these members."""
    buffer = io.BytesIO()
    pairs = members.items() if isinstance(members, dict) else members
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in pairs:
            archive.writestr(name, content)
    return buffer.getvalue()


def of_kind(name: str, kind: int) -> zipfile.ZipInfo:
    """A member that claims to be a link or a device."""
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info


def encrypted(archive: bytes) -> bytes:
    """The same archive with the encryption flag of its first member set, in both headers."""
    changed = bytearray(archive)
    changed[6] |= 1
    changed[changed.index(b"PK\x01\x02") + 8] |= 1
    return bytes(changed)


def nameless(archive: bytes) -> bytes:
    """The same archive with the name of its first member taken out of the central directory."""
    changed = bytearray(archive)
    entry = changed.index(b"PK\x01\x02")
    length = int.from_bytes(changed[entry + 28 : entry + 30], "little")
    changed[entry + 28 : entry + 30] = bytes(2)
    del changed[entry + 46 : entry + 46 + length]
    end = changed.index(b"PK\x05\x06")
    size = int.from_bytes(changed[end + 12 : end + 16], "little")
    changed[end + 12 : end + 16] = (size - length).to_bytes(4, "little")
    return bytes(changed)


HOSTILE: dict[str, tuple[bytes, str]] = {
    "a path that climbs": (
        zipped({"set5/a.png": png(), "../../escaped.png": png()}),
        "leads out of the folder",
    ),
    "one that climbs inside": (zipped({"set5/../../escaped.png": png()}), "leads out of the folder"),
    "one that climbs as Windows writes": (zipped({"..\\escaped.png": png()}), "leads out of the folder"),
    "an absolute path": (zipped({"/tmp/escaped.png": png()}), "is an absolute path"),
    "a drive": (zipped({"C:/escaped.png": png()}), "is an absolute path"),
    "a link": (zipped([(of_kind("a.png", stat.S_IFLNK), b"/etc/passwd")]), "is a link"),
    "a link beside images": (
        zipped([("a.png", png()), (of_kind("link", stat.S_IFLNK), b"/etc")]),
        "is a link",
    ),
    "a device": (zipped([(of_kind("a.png", stat.S_IFCHR), b"")]), "is a device"),
    "an encrypted member": (encrypted(zipped({"a.png": png()})), "is encrypted"),
    "a name with a line break": (zipped({"a\n.png": png()}), "is not a portable name"),
    "a member without a name": (nameless(zipped({"a.png": png()})), "'' is not a portable name"),
    "a name that no disk takes": (zipped({f"{'a' * 300}.png": png()}), "is not a portable name"),
    "one name twice": (zipped([("A.png", png()), ("a.PNG", png())]), "is in it twice"),
    "a file below a file": (zipped({"a.png": png(), "a.png/b.png": png()}), "lies below a file"),
    "a zip bomb": (zipped({"a.png": bytes(40_000_000)}), "as a zip bomb's do"),
    "no image": (zipped({"readme.txt": b"nothing to see"}), "there is no image in it"),
    "no archive": (b"<p>Please log in</p>", "is damaged"),
    "an archive cut off": (zipped({"a.png": png()})[:-30], "is damaged"),
    "broken bzip2": (
        bytes(zipped({"a.png": png()}, zipfile.ZIP_BZIP2).replace(b"BZh9", b"BZhx", 1)),
        "is damaged",
    ),
    "a flipped byte": (bytes(zipped({"a.png": png()}).replace(b"IHDR", b"IHDX", 1)), "is damaged"),
}
"""Kind of archive to refuse -> the archive, and part of the error message."""


def tree(folder: Path) -> list[str]:
    """Everything below a folder, relative to it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
