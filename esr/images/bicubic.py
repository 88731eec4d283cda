"""The bicubic resampling that made every published LR set: MATLAB's `imresize`, bit for bit.

OpenCV's own (`cv2.INTER_CUBIC`) is another: its kernel has a = -0.75 and is not stretched against aliasing.
"""

import math

import numpy as np
import numpy.typing as npt

from esr.config.schema import SCALE
from esr.errors import DataError
from esr.images.pixels import ImageArray, check_image, describe_size

_STRIP_VALUES = 2**16
"""Values of the result that are computed at once, so that sums stay in the processor's cache."""


def bicubic_downscale(image: ImageArray, scale: int = SCALE) -> ImageArray:
    """Shrinks H×W×3 to H/scale×W/scale×3 as MATLAB's `imresize(image, 1/scale)` does for uint8.

    Keys' cubic kernel (a = -0.5) stretched by `scale` against aliasing, borders mirrored; rows are shrunk
    first and rounded to uint8 before columns are. This reproduces the published LR sets bit for bit.

    >>> bicubic_downscale(np.full((8, 12, 3), 77, np.uint8))[..., 0].tolist()
    [[77, 77, 77], [77, 77, 77]]

    Raises:
        DataError: `image` is not H×W×3 uint8, or a side is no multiple of `scale`.
    """
    check_image(image)
    height, width = image.shape[:2]
    if height % scale or width % scale:
        size = describe_size(image.shape)
        raise DataError(f"an image of {size} px has a side that is no multiple of {scale}; crop it first")
    return _resize(image, height // scale, width // scale)


def bicubic_upscale(image: ImageArray, scale: int = SCALE) -> ImageArray:
    """Enlarges H×W×3 to H·scale×W·scale×3 as MATLAB's `imresize(image, scale)` does for uint8.

    >>> bicubic_upscale(np.zeros((2, 3, 3), np.uint8)).shape
    (8, 12, 3)

    Raises:
        DataError: `image` is not H×W×3 uint8.
    """
    check_image(image)
    return _resize(image, image.shape[0] * scale, image.shape[1] * scale)


def _resize(image: ImageArray, height: int, width: int) -> ImageArray:
    rows = _resize_first_axis(image, height)
    columns = _resize_first_axis(np.ascontiguousarray(rows.swapaxes(0, 1)), width)
    return np.ascontiguousarray(columns.swapaxes(0, 1))


def _resize_first_axis(image: ImageArray, size: int) -> ImageArray:
    source, weights = _taps(image.shape[0], size)
    resized = np.empty((size, *image.shape[1:]), np.uint8)
    rows = max(1, _STRIP_VALUES // image[0].size)
    for strip in (slice(first, first + rows) for first in range(0, size, rows)):
        total = np.zeros(resized[strip].shape)
        for tap in range(source.shape[1]):
            total += weights[strip, tap, None, None] * image[source[strip, tap]]
        resized[strip] = np.clip(np.floor(total + 0.5), 0, 255)
    return resized


def _taps(size_in: int, size_out: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """For each output sample, the input samples it is made of and their weights; both size_out×taps."""
    stretch = max(1.0, size_in / size_out)
    reach = 2 * stretch
    centre = (np.arange(size_out) + 0.5) * size_in / size_out - 0.5
    position = np.floor(centre - reach).astype(np.intp)[:, None] + np.arange(math.ceil(2 * reach) + 2)
    weights = _keys_cubic((centre[:, None] - position) / stretch)
    used = weights.any(axis=0)
    position, weights = position[:, used], weights[:, used]
    mirrored = position % (2 * size_in)
    mirrored = np.minimum(mirrored, 2 * size_in - 1 - mirrored)
    return mirrored, weights / weights.sum(axis=1, keepdims=True)


def _keys_cubic(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Keys 1981, "Cubic convolution interpolation for digital image processing", with a = -0.5."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))  # noqa: PLR2004 - the kernel's support
