"""Pictures beside a record, as images inside the report.

A record names its pictures, and a stranger may have written it: only PNG files inside the record's own folder are
opened, and the report holds images encoded from their pixels, never their bytes.
"""

import base64
import hashlib
from pathlib import Path

import msgspec

from esr.config.schema import SCALE
from esr.errors import DataError
from esr.images.files import encode_png, read_rgb
from esr.images.pictures import ORDER, Box, choose_box
from esr.images.pixels import ImageArray
from esr.images.quality import psnr
from esr.records.document import Picture

LARGEST_BYTES = 64 * 1024 * 1024
"""A larger file is left out."""
LARGEST_SIDE = 192
"""Side in HR pixels; of a larger picture, the part where bicubic errs most is shown."""
MOST = 8
"""Pictures per network."""
BUDGET = 24 * 1024 * 1024
"""Characters of images in a report; once they are spent, later networks get none."""
_PNG = b"\x89PNG\r\n\x1a\n"


class Panel(msgspec.Struct, frozen=True):
    """One role's part of an image."""

    role: str
    id: str
    """Of the image in the report."""
    psnr: float | None
    """dB over RGB within the part; `None` without HR, for LR and HR themselves, or where it is identical."""


class Crop(msgspec.Struct, frozen=True):
    """The same part of one image by every role."""

    image: int
    side: tuple[int, int]
    """Height and width in HR pixels."""
    panels: tuple[Panel, ...]


class Pool:
    """The report's images, each once: bicubic's and HR are the same for every network."""

    def __init__(self, budget: int = BUDGET) -> None:
        self.uris: dict[str, str] = {}
        """Id -> data URI."""
        self.left = budget
        """Characters; none is added once they are spent."""

    def add(self, image: ImageArray) -> str:
        """Takes an image, H×W×3 uint8; returns its id."""
        key = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()[:20]
        if key not in self.uris:
            self.uris[key] = f"data:image/png;base64,{base64.b64encode(encode_png(image)).decode('ascii')}"
            self.left -= len(self.uris[key])
        return key


def crops(folder: Path, pictures: tuple[Picture, ...], pool: Pool) -> list[Crop]:
    """A record's pictures; unusable ones are left out."""
    found = []
    for picture in pictures[:MOST]:
        if pool.left <= 0:
            break
        named = {role: picture.files[role] for role in ORDER if role in picture.files}
        images = {role: image for role, name in named.items() if (image := _read(folder, name)) is not None}
        if "bicubic" in images:
            found.append(_crop(picture.image, images, pool))
    return found


def inside(folder: Path, name: str, largest: int) -> Path | None:
    """A regular file inside a folder, by its relative name; `None` where it leads out, is absent or too large."""
    try:
        file = (folder / name).resolve()
        usable = file.is_relative_to(folder.resolve()) and file.is_file() and file.stat().st_size <= largest
    except (OSError, ValueError, RuntimeError):  # a null character, a loop of links
        return None
    return file if usable else None


def _read(folder: Path, name: str) -> ImageArray | None:
    file = inside(folder, name, LARGEST_BYTES)
    if file is None:
        return None
    try:
        with file.open("rb") as opened:
            is_png = opened.read(len(_PNG)) == _PNG
        return read_rgb(file) if is_png else None
    except (OSError, DataError):
        return None


def _crop(index: int, images: dict[str, ImageArray], pool: Pool) -> Crop:
    bicubic = images["bicubic"]
    shape = bicubic.shape
    expected = {role: (shape[0] // SCALE, shape[1] // SCALE, 3) if role == "lr" else shape for role in ORDER}
    images = {role: image for role, image in images.items() if image.shape == expected[role]}
    hr = images.get("hr")
    height, width = shape[:2]
    box = choose_box(hr, bicubic, LARGEST_SIDE) if max(height, width) > LARGEST_SIDE else Box(0, 0, height, width)
    parts = {role: box.of(image, SCALE if role == "lr" else 1) for role, image in images.items()}
    panels = []
    for role, part in parts.items():
        decibels = None if hr is None or role in ("lr", "hr") else psnr(part, parts["hr"], border=0)
        panels.append(Panel(role, pool.add(part), decibels))
    return Crop(index, (box.height, box.width), tuple(panels))
