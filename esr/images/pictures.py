"""Pictures for people: the most telling crop, all networks side by side on it, and the files beside a record.

Everything depends on the images alone, so that the same images give the same files on every machine.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from esr.config.schema import SCALE
from esr.errors import ConfigError, DataError
from esr.images.files import write_png
from esr.images.pixels import ImageArray, check_image, describe_size, rgb_to_luma
from esr.images.quality import psnr
from esr.records.document import Picture
from esr.text import did_you_mean, file_stem, one_line

SIDE = 96
"""Side of a crop in HR pixels: small enough to be enlarged, large enough to be recognised."""
BORDER = 8
"""HR pixels at each edge that a crop avoids: padding decides what the network puts there."""
MODES = ("none", "crops", "images")
"""Values of `quality.save`: nothing, the most telling crop of each image, whole images."""
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

    Raises:
        DataError: The images are not RGB images of one shape.
    """
    luma = rgb_to_luma(bicubic).astype(np.int64)
    if hr is None:
        score = np.zeros_like(luma)
        score[:, 1:] += np.diff(luma, axis=1) ** 2
        score[1:] += np.diff(luma, axis=0) ** 2
    else:
        _same_shape(hr, bicubic, "bicubic")
        score = (luma - rgb_to_luma(hr)) ** 2
    height, width = luma.shape
    side = min(side, height, width)
    side -= side % SCALE
    rows, columns = _corners(height, side), _corners(width, side)
    sums = _window_sums(score, side)[np.ix_(rows, columns)]
    row, column = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return Box(int(rows[row]), int(columns[column]), side, side)


def comparison(
    hr: ImageArray | None,
    lr: ImageArray,
    bicubic: ImageArray,
    outputs: Mapping[str, ImageArray],
    *,
    box: Box | None = None,
    title: str = "",
) -> ImageArray:
    """LR, bicubic, each network and HR side by side on one part of the image, H×W×3 uint8.

    Pixels are enlarged by an integer factor without interpolation. Below each panel stand its name and, if there is HR,
    the PSNR of RGB within the part shown.

    Args:
        hr: 4H×4W×3 uint8, or `None`.
        lr: H×W×3 uint8.
        bicubic: LR enlarged by bicubic, of HR's shape.
        outputs: SR images of that shape by the name to print, in the order to show them.
        box: The part to show; by default that of `choose_box`.
        title: Opens the line above the panels, such as the image's name.

    Raises:
        DataError: The shapes do not belong together, or `box` lies outside.
    """
    box = _checked(hr, lr, bicubic, outputs, box)
    panels = [("LR", "", _enlarged(box.of(lr, SCALE), SCALE))]
    reference = None if hr is None else box.of(hr)
    for name, image in {"bicubic": bicubic, **outputs}.items():
        part = box.of(image)
        panels.append((name, "" if reference is None else _decibels(part, reference), part))
    if reference is not None:
        panels.append(("HR", "", reference))
    where = f"{box.width} x {box.height} px at ({box.left}, {box.top})"  # Pillow's font has no multiplication sign
    figures = "" if reference is None else ", PSNR of RGB within it"
    return _drawn(panels, f"{title}: {where}{figures}" if title else f"{where}{figures}")


def save(
    folder: Path,
    mode: str,
    name: str,
    index: int,
    hr: ImageArray | None,
    lr: ImageArray,
    bicubic: ImageArray,
    outputs: Mapping[str, ImageArray],
    box: Box | None = None,
) -> Picture | None:
    """Writes one image of a data set as PNGs into `folder/images`, as `quality.save` asks.

    Args:
        folder: The record's.
        mode: `none` writes nothing, `crops` the part `box` of each image, `images` whole images.
        name: The image's name, untrusted; it cannot lead out of the folder.
        index: Its place in the data set.
        hr: 4H×4W×3 uint8, or `None`.
        lr: H×W×3 uint8.
        bicubic: LR enlarged by bicubic, of HR's shape.
        outputs: SR images of that shape by role; a network that failed is left out.
        box: The part; by default that of `choose_box`.

    Returns:
        The record's entry, with the files as paths relative to `folder`; `None` where nothing is written.

    Raises:
        ConfigError: `mode` is unknown.
        DataError: The shapes do not belong together, `box` lies outside, or a file cannot be written.
    """
    if mode not in MODES:
        raise ConfigError(f"quality.save={mode}: no such choice; {did_you_mean(mode, MODES)}")
    if mode == "none":
        return None
    if mode == "images":
        box = Box(0, 0, *bicubic.shape[:2])
    box = _checked(hr, lr, bicubic, outputs, box)
    parts = {"lr": box.of(lr, SCALE), "bicubic": box.of(bicubic)}
    parts |= {role: box.of(image) for role, image in outputs.items()}
    if hr is not None:
        parts["hr"] = box.of(hr)
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


def _checked(
    hr: ImageArray | None, lr: ImageArray, bicubic: ImageArray, outputs: Mapping[str, ImageArray], box: Box | None
) -> Box:
    """The part to show, once every image is known to have the right shape."""
    check_image(lr)
    check_image(bicubic)
    if bicubic.shape[:2] != (SCALE * lr.shape[0], SCALE * lr.shape[1]):
        raise DataError(
            f"LR of {describe_size(lr.shape)} px and its enlargement of {describe_size(bicubic.shape)} px "
            f"do not belong together: the scale is {SCALE}"
        )
    for name, image in {**({} if hr is None else {"HR": hr}), **outputs}.items():
        _same_shape(image, bicubic, name)
    if box is None:
        return choose_box(hr, bicubic)
    height, width = bicubic.shape[:2]
    inside = 0 <= box.top <= height - box.height and 0 <= box.left <= width - box.width
    if not inside or min(box.height, box.width) < 1 or any(value % SCALE for value in box):
        raise DataError(
            f"the part {tuple(box)} (top, left, height, width) has to lie in an image of {width}×{height} px, "
            f"on multiples of {SCALE}"
        )
    return box


def _same_shape(image: ImageArray, bicubic: ImageArray, name: str) -> None:
    check_image(image)
    if image.shape != bicubic.shape:
        raise DataError(
            f"{name} of {describe_size(image.shape)} px stands beside images of {describe_size(bicubic.shape)} px"
        )


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
