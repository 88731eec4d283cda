"""Pictures for people: the most telling crop, all networks side by side on it, and the files beside a record.

Everything depends on the images alone, so that the same images give the same files on every machine.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from esr.config.schema import SCALE
from esr.errors import DataError
from esr.images.bicubic import bicubic_upscale
from esr.images.files import write_png
from esr.images.pixels import ImageArray, check_image, describe_size, rgb_to_luma
from esr.images.quality import SSIM_WINDOW, psnr, ssim
from esr.images.sheet import Strip, Tile, enlarged, side_by_side
from esr.records.document import Picture
from esr.text import file_stem, shortened

SIDE = 96
"""Side of a crop in HR pixels: small enough to be enlarged, large enough to be recognised."""
BORDER = 8
"""HR pixels at each edge that a crop avoids: padding decides what the network puts there."""
FOLDER = "images"
"""The folder for `save`'s files, inside the record's."""

ORDER = ("lr", "bicubic", "baseline", "candidate", "hr")
"""Versions of an image in the order in which they are shown."""
_LONGEST = 32
"""Characters of a name in the lines above the panels."""
_SMALLEST = 8 + SSIM_WINDOW
"""Least side of an image, in pixels, that has figures of its own: SSIM's window has to lie inside the border."""


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
    hr: ImageArray | None
    """4H×4W×3; `None` where there is none."""
    outputs: Mapping[str, ImageArray]
    """SR images of that shape by role, in the order to show them; a network that failed is left out."""

    def __post_init__(self) -> None:
        for name, image in self.large().items():
            check_image(image)
            if image.shape != self.bicubic.shape:
                beside = f"stands beside images of {describe_size(self.bicubic.shape)} px"
                raise DataError(f"{name} of {describe_size(image.shape)} px {beside}")

    @cached_property
    def bicubic(self) -> ImageArray:
        """LR enlarged by bicubic, 4H×4W×3."""
        return bicubic_upscale(self.lr)

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
    luma = _luma(bicubic)
    if hr is None:
        score = np.zeros_like(luma)
        score[:, 1:] += np.diff(luma, axis=1) ** 2
        score[1:] += np.diff(luma, axis=0) ** 2
    else:
        score = (luma - _luma(hr)) ** 2
    return _highest(score, side)


def differing_box(a: ImageArray, b: ImageArray, side: int = SIDE) -> Box:
    """The square part in which the luma of two images of one shape differs most, as `choose_box` places it."""
    return _highest((_luma(a) - _luma(b)) ** 2, side)


def _luma(image: ImageArray) -> npt.NDArray[np.int64]:
    return rgb_to_luma(image).astype(np.int64)


def _highest(score: npt.NDArray[np.int64], side: int) -> Box:
    """The square whose sum is the highest."""
    height, width = score.shape
    side = min(side, height, width)
    side -= side % SCALE
    rows, columns = _corners(height, side), _corners(width, side)
    sums = _window_sums(score, side)[np.ix_(rows, columns)]
    row, column = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return Box(int(rows[row]), int(columns[column]), side, side)


def comparison(views: Views, box: Box, names: Mapping[str, str], title: str) -> ImageArray:
    """The whole image, and two parts of it by every network side by side, H×W×3 uint8.

    The parts are the given one and that in which the two networks differ most; frames in the whole image show where.
    Their pixels are enlarged by an integer factor without interpolation. With HR, each panel has the PSNR of RGB within
    the part, and each column PSNR and SSIM of the whole image, as in the record.

    Args:
        views: The image.
        box: The part where bicubic errs most.
        names: Names to print, by role.
        title: Opens the line above the panels: the image's name.
    """
    title, names = shortened(title, _LONGEST), {role: shortened(name, _LONGEST) for role, name in names.items()}
    labels = {"lr": "LR", "bicubic": "bicubic", "hr": "HR", **names}
    if "baseline" in names:
        labels["baseline"] = f"{names['baseline']} (baseline)"
    rows = [_strip(views, box, labels, "bicubic errs most" if views.hr is not None else "edges are strongest")]
    if {"candidate", "baseline"} <= views.outputs.keys():
        apart = differing_box(views.outputs["candidate"], views.outputs["baseline"], max(box.height, box.width))
        rows.append(_strip(views, apart, labels, f"{names['candidate']} and {names['baseline']} differ most"))
    large = views.large()
    whole = {role: _whole(large[role], views.hr) for role in ("bicubic", *views.outputs)}
    feet = [(panel.name, whole.get(panel.role, "")) for panel in rows[0].panels]
    unit = "; below the names PSNR and SSIM of RGB, whole image" if views.hr is not None else ""
    picture = views.bicubic if views.hr is None else views.hr
    return side_by_side(picture, rows, feet, f"{title}: {picture.shape[1]} x {picture.shape[0]} px{unit}")


def _strip(views: Views, box: Box, labels: Mapping[str, str], where: str) -> Strip:
    parts = views.parts(box)
    hr = parts.get("hr")
    panels = []
    for role in sorted(parts, key=ORDER.index):
        image = enlarged(parts[role], SCALE) if role == "lr" else parts[role]
        figure = _decibels(image, hr, 0, "identical to HR") if hr is not None and role not in ("lr", "hr") else ""
        panels.append(Tile(role, labels[role], figure, image))
    place = f"{box.width} x {box.height} px at ({box.left}, {box.top})"  # Pillow's font has no multiplication sign
    within = "; PSNR of RGB within it" if hr is not None else ""
    return Strip(f"where {where}, {place}{within}", (box.top, box.left, box.height, box.width), tuple(panels))


def _whole(image: ImageArray, hr: ImageArray | None) -> str:
    """PSNR and SSIM over the whole image; empty without HR, or where it is too small."""
    if hr is None or min(hr.shape[:2]) < _SMALLEST:
        return ""
    return f"{_decibels(image, hr, 4, 'identical')}, {ssim(image, hr):.4f}"


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


def _decibels(image: ImageArray, hr: ImageArray, border: int, identical: str) -> str:
    value = psnr(image, hr, border)
    return f"{value:.2f} dB" if math.isfinite(value) else identical
