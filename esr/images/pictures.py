"""Pictures for people: the most telling crop, all networks side by side on it, and the files beside a record.

Everything depends on the images alone, so that the same images give the same files on every machine.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from esr.config.schema import SCALE
from esr.errors import DataError
from esr.images.files import write_png
from esr.images.pixels import ImageArray, check_image, describe_size, rgb_to_luma
from esr.images.quality import psnr
from esr.records.document import Picture
from esr.text import file_stem, one_line

SIDE = 96
"""Side of a crop in HR pixels: small enough to be enlarged, large enough to be recognised."""
BORDER = 8
"""HR pixels at each edge that a crop avoids: padding decides what the network puts there."""
FOLDER = "images"
"""The folder for `save`'s files, inside the record's."""

_PANEL = 256  # least side of an enlarged crop on screen, in pixels
_GAP, _LINE, _FONT = 10, 22, 16
_PAPER, _INK, _GREY = (255, 255, 255), (20, 20, 20), (110, 110, 110)


class Box(NamedTuple):
    """A part of an HR image, in pixels; all four are multiples of the scale, so that it has an LR counterpart."""

    top: int
    left: int
    height: int
    width: int

    def of(self, image: ImageArray, shrink: int = 1) -> ImageArray:
        """This part of an image that is `shrink` times smaller than HR."""
        top, left, height, width = (value // shrink for value in self)
        return image[top : top + height, left : left + width]


@dataclass(frozen=True)
class Views:
    """One image in every version, uint8 RGB.

    Raises:
        DataError: The shapes do not belong together.
    """

    lr: ImageArray
    """H×W×3."""
    bicubic: ImageArray
    """LR enlarged by bicubic, 4H×4W×3."""
    hr: ImageArray | None
    """4H×4W×3; `None` where there is none."""
    outputs: Mapping[str, ImageArray]
    """SR images of that shape by role, in the order to show them; a network that failed is left out."""

    def __post_init__(self) -> None:
        check_image(self.lr)
        if self.bicubic.shape[:2] != (SCALE * self.lr.shape[0], SCALE * self.lr.shape[1]):
            raise DataError(
                f"LR of {describe_size(self.lr.shape)} px and its enlargement of {describe_size(self.bicubic.shape)} "
                f"px do not belong together: the scale is {SCALE}"
            )
        for name, image in self.large().items():
            check_image(image)
            if image.shape != self.bicubic.shape:
                beside = f"stands beside images of {describe_size(self.bicubic.shape)} px"
                raise DataError(f"{name} of {describe_size(image.shape)} px {beside}")

    def large(self) -> dict[str, ImageArray]:
        """Every version but LR, by name; HR is last."""
        return {"bicubic": self.bicubic, **self.outputs, **({} if self.hr is None else {"hr": self.hr})}

    def parts(self, box: Box) -> dict[str, ImageArray]:
        """The same part of every version, by name."""
        return {"lr": box.of(self.lr, SCALE), **{name: box.of(image) for name, image in self.large().items()}}


def choose_box(hr: ImageArray | None, bicubic: ImageArray, side: int = SIDE) -> Box:
    """The square part of an image that tells networks apart best.

    With HR it is where the luma of the bicubic enlargement has the largest squared error; without HR, where that
    enlargement has the highest gradient energy. It does not depend on any network's output, so it flatters none.
    Corners lie on multiples of the scale, at least `BORDER` pixels inside where the image is large enough; ties go to
    the first in reading order.

    Args:
        hr: 4H×4W×3 uint8, or `None`.
        bicubic: LR enlarged by bicubic, 4H×4W×3 uint8.
        side: Side of the part, in HR pixels; less where the image is smaller.
    """
    luma = rgb_to_luma(bicubic).astype(np.int64)
    if hr is None:
        score = np.zeros_like(luma)
        score[:, 1:] += np.diff(luma, axis=1) ** 2
        score[1:] += np.diff(luma, axis=0) ** 2
    else:
        score = (luma - rgb_to_luma(hr)) ** 2
    height, width = luma.shape
    side = min(side, height, width)
    side -= side % SCALE
    rows, columns = _corners(height, side), _corners(width, side)
    sums = _window_sums(score, side)[np.ix_(rows, columns)]
    row, column = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return Box(int(rows[row]), int(columns[column]), side, side)


def comparison(views: Views, box: Box, names: Mapping[str, str], title: str) -> ImageArray:
    """LR, bicubic, each network and HR side by side on one part of the image, H×W×3 uint8.

    Pixels are enlarged by an integer factor without interpolation. Below each panel stand its name and, if there is HR,
    the PSNR of RGB within the part shown.

    Args:
        views: The image.
        box: The part to show.
        names: Names to print, by role.
        title: Opens the line above the panels: the image's name.
    """
    parts = views.parts(box)
    hr = parts.get("hr")
    labels = {"lr": "LR", "bicubic": "bicubic", **names, "hr": "HR"}
    figures = {name: _decibels(parts[name], hr) for name in ("bicubic", *views.outputs)} if hr is not None else {}
    parts["lr"] = _enlarged(parts["lr"], SCALE)
    panels = [(labels[name], figures.get(name, ""), part) for name, part in parts.items()]
    where = f"{box.width} x {box.height} px at ({box.left}, {box.top})"  # Pillow's font has no multiplication sign
    return _drawn(panels, f"{title}: {where}{', PSNR of RGB within it' if figures else ''}")


def save(folder: Path, name: str, index: int, views: Views, box: Box) -> Picture:
    """Writes a part of every version of an image as PNGs into `folder/images`.

    Args:
        folder: The record's.
        name: The image's name, untrusted; it cannot lead out of the folder.
        index: Its place in the data set.
        views: The image.
        box: The part.

    Returns:
        The record's entry, with the files as paths relative to `folder`.

    Raises:
        DataError: A file cannot be written.
    """
    parts = views.parts(box)
    files = {role: f"{FOLDER}/{file_name(name, index, role)}" for role in parts}
    for role, part in parts.items():
        write_png(folder / files[role], part)
    return Picture(image=index, box=(box.top, box.left, box.height, box.width), files=files)


def file_name(name: str, index: int, role: str) -> str:
    """A PNG's file name: unique per image and role, and safe whatever the image is called.

    >>> file_name("../../etc/pass wd", 3, "hr")
    '0003-etc_pass_wd-hr.png'
    """
    return f"{index:04d}-{file_stem(name, 'image')}-{file_stem(role, 'image')}.png"


def _corners(length: int, side: int) -> npt.NDArray[np.intp]:
    """Possible first rows or columns of a part: clear of the border if there is room, and aligned to LR."""
    corners = np.arange(BORDER, length - side - BORDER + 1, SCALE)
    return corners if corners.size else np.arange(0, length - side + 1, SCALE)


def _window_sums(score: npt.NDArray[np.int64], side: int) -> npt.NDArray[np.int64]:
    """The sum over every side×side window, by its top left corner: an integral image, exact in integers."""
    integral = np.pad(score.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    sums: npt.NDArray[np.int64] = (
        integral[side:, side:] - integral[:-side, side:] - integral[side:, :-side] + integral[:-side, :-side]
    )
    return sums


def _decibels(image: ImageArray, reference: ImageArray) -> str:
    value = psnr(image, reference, border=0)
    return f"{value:.2f} dB" if math.isfinite(value) else "identical to HR"


def _drawn(panels: list[tuple[str, str, ImageArray]], heading: str) -> ImageArray:
    """Panels of one shape, each with two lines of text below, under a heading.

    Pillow sets the text: OpenCV's strokes have no letter outside ASCII, and names of networks and images may.
    """
    shape = panels[0][2].shape
    factor = max(1, math.ceil(_PANEL / max(shape[:2])))
    height, width = factor * shape[0], factor * shape[1]
    column = max(width, _PANEL // 2)  # room for a name under a narrow panel
    canvas = np.full((height + 3 * _LINE + 3 * _GAP, len(panels) * (column + _GAP) + _GAP, 3), _PAPER, np.uint8)
    top = _LINE + 2 * _GAP
    lefts = range(_GAP, canvas.shape[1] - _GAP, column + _GAP)
    for left, (_, _, image) in zip(lefts, panels, strict=True):
        canvas[top : top + height, left : left + width] = _enlarged(image, factor)
    lettered = Image.fromarray(canvas)
    draw = ImageDraw.Draw(lettered)
    font = ImageFont.load_default(_FONT)

    def write(text: str, left: int, top: int, room: int, colour: tuple[int, int, int]) -> None:
        text = one_line(text)
        while text and draw.textlength(text, font) > room:
            text = text[:-4] + "..." if len(text) > 4 else ""  # noqa: PLR2004 - the dots and one more
        draw.text((left, top), text, colour, font)

    write(heading, _GAP, _GAP, canvas.shape[1] - 2 * _GAP, _INK)
    for left, (name, figure, _) in zip(lefts, panels, strict=True):
        write(name, left, top + height + 4, column, _INK)
        write(figure, left, top + height + 4 + _LINE, column, _GREY)
    return np.array(lettered, dtype=np.uint8)


def _enlarged(image: ImageArray, factor: int) -> ImageArray:
    return image.repeat(factor, axis=0).repeat(factor, axis=1)
