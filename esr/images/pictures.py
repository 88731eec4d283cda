"""Pictures for people: a telling crop, what each network makes of it side by side, and the files of a record.

Everything here follows from the images alone, so that the same images give the same files on every machine.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from esr.config.schema import SCALE
from esr.errors import ConfigError, DataError
from esr.images.pixels import ImageArray, check_image, describe_size, rgb_to_luma, write_png
from esr.images.quality import psnr
from esr.text import did_you_mean

SIDE = 96
"""Side of a crop in HR pixels: small enough to be enlarged, large enough to be recognised."""
BORDER = 8
"""HR pixels at each edge that a crop keeps clear of: padding, not the network, decides what happens there."""
MODES = ("none", "crops", "images")
"""What `save` writes of an image: nothing, its telling crop, all of it."""
FOLDER = "images"
"""Where `save` writes, below the record's folder."""

_PANEL = 256  # least side of an enlarged crop on screen, in pixels
_GAP, _LINE, _FONT = 10, 22, 16
_NAME_LENGTH = 60
_PAPER, _INK, _GREY = (255, 255, 255), (20, 20, 20), (110, 110, 110)


class Box(NamedTuple):
    """A part of an HR image, in pixels; every figure is a multiple of the scale, so that it has its LR part."""

    top: int
    left: int
    height: int
    width: int

    def of(self, image: ImageArray, shrink: int = 1) -> ImageArray:
        """This part of an image that is `shrink` times smaller than HR."""
        top, left, height, width = (value // shrink for value in self)
        return image[top : top + height, left : left + width]


def choose_box(hr: ImageArray | None, bicubic: ImageArray, side: int = SIDE) -> Box:
    """The square part of an image that tells most about a network.

    With HR it is where the luma of bicubic's enlargement has the largest squared error against HR; without,
    where that enlargement has the most gradient energy. Networks have no say in it: each one's crop of an
    image is the same, and none is flattered. Corners lie on multiples of the scale, at least `BORDER` pixels
    inside where the image is large enough; the first in reading order wins a tie.

    Args:
        hr: 4H×4W×3 uint8, or none.
        bicubic: LR enlarged by bicubic, 4H×4W×3 uint8.
        side: of the part, in HR pixels; less where the image is smaller.

    Raises:
        DataError: the images are no RGB images of one shape.
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

    Pixels are enlarged by an integer factor without interpolation. Under each panel stand its name and,
    where there is HR, the PSNR of RGB within the part that is shown.

    Args:
        hr: 4H×4W×3 uint8, or none.
        lr: H×W×3 uint8.
        bicubic: LR enlarged by bicubic, of HR's shape.
        outputs: SR images of that shape by the name to print, in the order to show them.
        box: the part; by default that of `choose_box`.
        title: what the picture shows, as the image's name; the line above the panels begins with it.

    Raises:
        DataError: the shapes do not belong together, or `box` lies outside.
    """
    box = _checked(hr, lr, bicubic, outputs, box)
    panels = [("LR", "", np.kron(box.of(lr, SCALE), np.ones((SCALE, SCALE, 1), np.uint8)))]
    reference = None if hr is None else box.of(hr)
    for name, image in {"bicubic": bicubic, **outputs}.items():
        part = box.of(image)
        panels.append((name, "" if reference is None else _decibels(part, reference), part))
    if reference is not None:
        panels.append(("HR", "", reference))
    where = f"{box.width} x {box.height} px at ({box.left}, {box.top})"  # Pillow's font has no multiplication sign
    figures = "" if reference is None else ", PSNR of RGB within it"
    return _drawn(panels, f"{_one_line(title)}: {where}{figures}" if title else f"{where}{figures}")


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
) -> dict[str, Any]:
    """Writes one image of a data set as PNGs below `folder/images`, as `quality.save` asks.

    Args:
        folder: the record's.
        mode: `none` writes nothing, `crops` the part `box` of each image, `images` all of each.
        name: the image's name, from anybody; it cannot lead out of the folder.
        index: its place in the data set.
        hr: 4H×4W×3 uint8, or none.
        lr: H×W×3 uint8.
        bicubic: LR enlarged by bicubic, of HR's shape.
        outputs: SR images of that shape by role (`candidate`, `baseline`); a network that failed is left out.
        box: the part; by default that of `choose_box`.

    Returns:
        `image`: the index; `box`: top, left, height and width of what the files show, in HR pixels; `files`:
        paths relative to `folder` by `lr`, `bicubic`, each role, and `hr` where there is one.

    Raises:
        ConfigError: there is no such mode.
        DataError: the shapes do not belong together, `box` lies outside, or a file cannot be written.
    """
    if mode not in MODES:
        raise ConfigError(f"quality.save={mode}: no such choice; {did_you_mean(mode, MODES)}")
    if mode == "none":
        return {"image": index, "box": None, "files": {}}
    if mode == "images":
        box = Box(0, 0, *bicubic.shape[:2])
    box = _checked(hr, lr, bicubic, outputs, box)
    parts = {"lr": box.of(lr, SCALE), "bicubic": box.of(bicubic)}
    parts |= {role: box.of(image) for role, image in outputs.items()}
    if hr is not None:
        parts["hr"] = box.of(hr)
    files = {role: f"{FOLDER}/{file_name(name, index, role)}" for role in parts}
    try:
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make {folder / FOLDER}: {error.strerror or error}") from error
    for role, part in parts.items():
        write_png(folder / files[role], part)
    return {"image": index, "box": list(box), "files": files}


def file_name(name: str, index: int, role: str) -> str:
    """A PNG's file name: unlike that of any other image or role, and safe whatever the image is called.

    >>> file_name("../../etc/pass wd", 3, "hr")
    '0003-etc_pass_wd-hr.png'
    """
    return f"{index:04d}-{_safe(name)}-{_safe(role)}.png"


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "_", text).strip("_")[:_NAME_LENGTH] or "image"


def _corners(length: int, side: int) -> npt.NDArray[np.intp]:
    """Where a part of that side may begin: clear of the border where it can be, and aligned to LR."""
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
    hr: ImageArray | None,
    lr: ImageArray,
    bicubic: ImageArray,
    outputs: Mapping[str, ImageArray],
    box: Box | None,
) -> Box:
    """The part to show, once everything is known to have the shape it should."""
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
    """Panels of one shape, each with two lines of text below, under a heading."""
    shape = panels[0][2].shape
    factor = max(1, math.ceil(_PANEL / max(shape[:2])))
    height, width = factor * shape[0], factor * shape[1]
    column = max(width, _PANEL // 2)  # room for a name under a narrow panel
    size = (len(panels) * (column + _GAP) + _GAP, height + 3 * _LINE + 3 * _GAP)
    canvas = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(_FONT)

    def write(text: str, left: int, top: int, room: int, colour: tuple[int, int, int]) -> None:
        while text and draw.textlength(text, font) > room:
            text = text[:-4] + "..." if len(text) > 4 else ""  # noqa: PLR2004 - the dots and one more
        draw.text((left, top), text, colour, font)

    write(heading, _GAP, _GAP, size[0] - 2 * _GAP, _INK)
    top = _LINE + 2 * _GAP
    for number, (name, figure, image) in enumerate(panels):
        left = _GAP + number * (column + _GAP)
        enlarged = Image.fromarray(image).resize((width, height), Image.Resampling.NEAREST)
        canvas.paste(enlarged, (left, top))
        write(_one_line(name), left, top + height + 4, column, _INK)
        write(figure, left, top + height + 4 + _LINE, column, _GREY)
    return np.array(canvas, dtype=np.uint8)


def _one_line(text: str) -> str:
    return " ".join(text.split())
