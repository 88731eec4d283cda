"""A sheet of pictures with lettering: a whole image with frames, and rows of its parts side by side."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from esr.images.pixels import ImageArray
from esr.text import one_line

PANEL = 256
"""Least side of an enlarged part on screen, in pixels."""
WHOLE = 400
"""Largest width of the whole image, in pixels."""
GAP, LINE = 10, 22
"""Pixels between pictures, and of a line of text."""
_FONT = 16
_PAPER, _INK, _GREY = (255, 255, 255), (20, 20, 20), (110, 110, 110)
_FRAMES = ((194, 84, 0), (0, 114, 178))
"""Colours of the rows and of their frames in the whole image."""


class Tile(NamedTuple):
    """One picture of a row."""

    role: str
    name: str
    figure: str
    """Printed below it."""
    image: ImageArray


class Strip(NamedTuple):
    """Panels of one shape, all of the same part."""

    heading: str
    frame: tuple[int, int, int, int]
    """Top, left, height and width of the part in the whole image."""
    panels: tuple[Tile, ...]


def side_by_side(whole: ImageArray, rows: Sequence[Strip], feet: Sequence[tuple[str, str]], heading: str) -> ImageArray:
    """The sheet, H×W×3 uint8: on the left the whole image with a frame per row, on the right the rows.

    Pillow sets the text: OpenCV's strokes have no letter outside ASCII, and names of networks and images may.

    Args:
        whole: The image.
        rows: Parts of it, at most two.
        feet: Two lines below each column.
        heading: Line above everything.
    """
    factors = [max(1, math.ceil(PANEL / max(row.panels[0].image.shape[:2]))) for row in rows]
    sizes = [
        tuple(factor * side for side in row.panels[0].image.shape[:2])
        for row, factor in zip(rows, factors, strict=True)
    ]
    column = max(PANEL // 2, *(width for _, width in sizes))  # room for a name under a narrow panel
    shrink = min(1.0, WHOLE / whole.shape[1], 2 * PANEL / whole.shape[0])
    shown = [round(side * shrink) for side in whole.shape[:2]]
    start = 2 * GAP + shown[1]
    top = LINE + 2 * GAP
    tops = [top]
    for height, _ in sizes:
        tops.append(tops[-1] + 2 * LINE + height + GAP)
    height = max(tops[-1] + 2 * LINE, top + shown[0]) + GAP
    sheet = Image.new("RGB", (start + len(feet) * (column + GAP), height), _PAPER)
    _letter(sheet, heading, (GAP, GAP), sheet.width - 2 * GAP, _INK)
    sheet.paste(Image.fromarray(whole).resize((shown[1], shown[0]), Image.Resampling.LANCZOS), (GAP, top))
    for row, factor, (tall, _), at, colour in zip(rows, factors, sizes, tops, _FRAMES, strict=False):
        _frame(sheet, row.frame, shrink, top, colour)
        _letter(sheet, row.heading, (start, at), sheet.width - start - GAP, colour)
        for place, panel in enumerate(row.panels):
            left = start + place * (column + GAP)
            sheet.paste(Image.fromarray(enlarged(panel.image, factor)), (left, at + LINE))
            _letter(sheet, panel.figure, (left, at + LINE + tall + 2), column, _GREY)
    for place, lines in enumerate(feet):
        for line, (text, colour) in enumerate(zip(lines, (_INK, _GREY), strict=True)):
            _letter(sheet, text, (start + place * (column + GAP), tops[-1] + line * LINE), column, colour)
    return np.array(sheet, dtype=np.uint8)


def enlarged(image: ImageArray, factor: int) -> ImageArray:
    """An image by an integer factor, without interpolation."""
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def _frame(
    sheet: Image.Image, frame: tuple[int, int, int, int], shrink: float, top: int, colour: tuple[int, int, int]
) -> None:
    upper, left, height, width = (round(side * shrink) for side in frame)
    corner = (GAP + left, top + upper, GAP + left + width - 1, top + upper + height - 1)
    ImageDraw.Draw(sheet).rectangle(corner, outline=colour, width=2)


def _letter(sheet: Image.Image, text: str, at: tuple[int, int], room: int, colour: tuple[int, int, int]) -> None:
    """Writes one line, cut to its room."""
    draw, font, text = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT), one_line(text)
    while text and draw.textlength(text, font) > room:
        text = text[:-4] + "..." if len(text) > 4 else ""  # noqa: PLR2004 - the dots and one more
    draw.text(at, text, colour, font)
