"""Images as uint8 arrays: checked, cropped, and their luma.

An image is H×W×3, RGB, row-major; luma is H×W.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from esr.config.schema import SCALE
from esr.errors import DataError

ImageArray: TypeAlias = npt.NDArray[np.uint8]
"""H×W×3 (RGB) or H×W (luma), uint8."""

SUFFIXES = frozenset({".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"})
"""File name suffixes of images, in lower case."""


def check_image(image: ImageArray, *, luma_too: bool = False) -> None:
    """Refuses an array that is not a uint8 image, before a computation goes wrong on it.

    Raises:
        DataError: `image` is not H×W×3 uint8, nor, with `luma_too`, H×W; or it has no pixels.
    """
    shape = image.shape
    rgb = len(shape) == 3 and shape[2] == 3  # noqa: PLR2004 - height, width, three channels
    luma = luma_too and len(shape) == 2  # noqa: PLR2004 - height, width
    if image.dtype != np.uint8 or not (rgb or luma) or 0 in shape:
        wanted = "H×W×3 or H×W" if luma_too else "H×W×3"
        raise DataError(f"an image is a uint8 array of {wanted}, not {image.dtype} of shape {shape}")


def crop_to_multiple(image: ImageArray, multiple: int = SCALE) -> ImageArray:
    """The largest top-left part of an H×W or H×W×3 image whose sides are multiples of `multiple`.

    >>> crop_to_multiple(np.zeros((11, 8, 3), np.uint8)).shape
    (8, 8, 3)

    Raises:
        DataError: A side is shorter than `multiple`.
    """
    height, width = (side - side % multiple for side in image.shape[:2])
    if min(height, width) == 0:
        raise DataError(f"an image of {describe_size(image.shape)} px is smaller than {multiple}×{multiple}")
    return image[:height, :width]


def describe_size(shape: tuple[int, ...]) -> str:
    """An image's size as people write it, width first.

    >>> describe_size((1356, 2040, 3))
    '2040×1356'
    """
    return f"{shape[1]}×{shape[0]}"


def rgb_to_luma(image: ImageArray) -> ImageArray:
    """Luma of ITU-R BT.601 in studio swing (16 to 235), rounded to uint8: H×W×3 -> H×W.

    The formula of MATLAB's `rgb2ycbcr`, evaluated in float64 and rounded half to even as the challenge's
    helper does. MATLAB rounds half up: 107 of the 16.7 million colours come out one lower here.

    >>> rgb_to_luma(np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], np.uint8)).tolist()
    [[16, 235, 81]]

    Raises:
        DataError: `image` is not H×W×3 uint8.
    """
    check_image(image)
    red, green, blue = np.moveaxis(image.astype(np.float64), 2, 0)
    luma: ImageArray = np.rint((65.481 * red + 128.553 * green + 24.966 * blue) / 255.0 + 16.0).astype(np.uint8)
    return luma
