"""PNG files reduced to the chunks that determine pixels, since text and profiles may be damaged, huge or hostile."""

import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = frozenset({b"tRNS", b"acTL", b"fcTL", b"fdAT"})
"""Ancillary chunks of transparency and animation, by which a file is refused."""
_NOTES = frozenset(
    b"tEXt zTXt iTXt iCCP sRGB gAMA cHRM cICP mDCV cLLI sBIT bKGD hIST pHYs sPLT tIME eXIf oFFs pCAL sCAL".split()
)
"""Ancillary chunks that leave the stored samples as they are; a wrong checksum in one of them harms no pixel."""


def pixels_only(content: bytes) -> bytes:
    """A PNG file without what does not determine its pixels; any other content as it is.

    Raises:
        ValueError: A chunk that matters, or that nobody knows, has a wrong checksum, or the file ends too early.
    """
    if not content.startswith(SIGNATURE):
        return content
    kept = [SIGNATURE]
    for name, chunk in _chunks(content):
        if name in _NOTES:
            continue
        if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
            raise ValueError(f"wrong checksum in chunk {name.decode('ascii', 'replace')!r}")
        if name[:1].isupper() or name in _KEPT:
            kept.append(chunk)
    return b"".join(kept)


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and whole chunks, up to the last one of the image."""
    place = len(SIGNATURE)
    name = b""
    while name != b"IEND":
        length, name = int.from_bytes(content[place : place + 4], "big"), content[place + 4 : place + 8]
        end = place + 12 + length
        if end > len(content):
            raise ValueError("it ends too early")
        yield name, content[place:end]
        place = end
