"""PSNR and SSIM of an SR image against its HR, as the challenge measures them: 8 bits, border cut.

Pure functions of uint8 arrays, H×W×3 RGB or H×W luma. PSNR of identical images is infinite; `Quality` writes that as
`None`, because JSON has no infinity.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from esr.errors import ConfigError, DataError
from esr.images.pixels import ImageArray, check_image, describe_size, rgb_to_luma
from esr.records.network import Quality

PEAK = 255
"""Largest 8-bit value: the signal in PSNR, the data range in SSIM."""

SSIM_WINDOW = 11
"""Side of SSIM's Gaussian window, in pixels: the least an image has to keep inside its border."""

_STRIP_VALUES = 2**16
"""Values of an image that are filtered at once."""
_C1, _C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
_KERNEL = cv2.getGaussianKernel(SSIM_WINDOW, 1.5, cv2.CV_32F)


def measure(sr: ImageArray, hr: ImageArray, border: int = 4) -> Quality:
    """All four figures of one SR image, H×W×3 uint8, against an HR image of the same shape.

    >>> hr = np.tile(np.arange(20, dtype=np.uint8)[:, None, None], (1, 20, 3))
    >>> quality = measure(hr + np.uint8(5), hr)
    >>> round(quality.psnr_rgb, 2), round(quality.psnr_y, 2), quality.ssim_rgb < 1
    (34.15, 35.34, True)

    Raises:
        ConfigError: `border` is negative.
        DataError: The images are not RGB images of one shape, or too small for border and window.
    """
    sr_y, hr_y = rgb_to_luma(sr), rgb_to_luma(hr)
    return Quality(
        psnr_rgb=_finite(psnr(sr, hr, border)),
        ssim_rgb=ssim(sr, hr, border),
        psnr_y=_finite(psnr(sr_y, hr_y, border)),
        ssim_y=ssim(sr_y, hr_y, border),
    )


def mean_quality(qualities: Sequence[Quality]) -> Quality:
    """The mean of each figure over images, as a data set's quality is published: decibels are averaged.

    One image with an infinite PSNR (`None`) makes the mean infinite.

    >>> mean_quality([Quality(30, 0.5, 32, 0.75), Quality(40, 1.0, None, 1.0)])
    Quality(psnr_rgb=35.0, ssim_rgb=0.75, psnr_y=None, ssim_y=0.875)

    Raises:
        DataError: `qualities` is empty.
    """
    if not qualities:
        raise DataError("no image was measured, so there is no mean quality")

    def mean(values: Iterable[float | None]) -> float:
        return math.fsum(map(decibels, values)) / len(qualities)

    return Quality(
        psnr_rgb=_finite(mean(quality.psnr_rgb for quality in qualities)),
        ssim_rgb=mean(quality.ssim_rgb for quality in qualities),
        psnr_y=_finite(mean(quality.psnr_y for quality in qualities)),
        ssim_y=mean(quality.ssim_y for quality in qualities),
    )


def psnr(a: ImageArray, b: ImageArray, border: int = 4) -> float:
    """Peak signal-to-noise ratio in dB: 20·log10(255 / RMSE), RMSE over all values inside the border.

    Both images are uint8, H×W×3 or H×W; squared errors are summed exactly. Identical images give infinity.

    >>> black = np.zeros((16, 16, 3), np.uint8)
    >>> round(psnr(black, black + np.uint8(1)), 4)
    48.1308
    >>> psnr(black, black)
    inf

    Raises:
        ConfigError: `border` is negative.
        DataError: The images are not uint8 images of one shape, or nothing is left inside the border.
    """
    a, b = _inside_border(a, b, border, least=1)
    mean_square = cv2.norm(a, b, cv2.NORM_L2SQR) / a.size
    return math.inf if mean_square == 0 else 20 * math.log10(PEAK / math.sqrt(mean_square))


def ssim(a: ImageArray, b: ImageArray, border: int = 4) -> float:
    """Structural similarity (Wang et al. 2004), at most 1; of RGB, the mean of the channels.

    An 11×11 Gaussian window with σ 1.5, the covariances of the window's population, C1 = (0.01·255)²,
    C2 = (0.03·255)²; the mean over every window that lies wholly inside the border. Windows are filtered in float32;
    the result is within 1e-6 of float64.

    >>> ramp = np.arange(20 * 20, dtype=np.uint16).reshape(20, 20).astype(np.uint8)
    >>> ssim(ramp, ramp)
    1.0

    Raises:
        ConfigError: `border` is negative.
        DataError: The images are not uint8 images of one shape, or no window fits inside the border.
    """
    a, b = _inside_border(a, b, border, least=SSIM_WINDOW)
    return float(np.mean([_ssim_of_channel(x, y) for x, y in zip(cv2.split(a), cv2.split(b), strict=True)]))


def _ssim_of_channel(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """SSIM of two H×W images, strip by strip, so that every intermediate stays in the processor's cache."""
    reach, rows = SSIM_WINDOW // 2, a.shape[0] - SSIM_WINDOW + 1
    height = max(1, _STRIP_VALUES // a.shape[1])
    total = 0.0
    for first in range(0, rows, height):
        strip = slice(first, min(first + height, rows) + 2 * reach)
        total += _sum_of_ssim(a[strip].astype(np.float32), b[strip].astype(np.float32))
    return total / float(rows * (a.shape[1] - SSIM_WINDOW + 1))


def _sum_of_ssim(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """Sum of SSIM over the windows of two H×W images, by the moments of their sum and difference.

    Of those, similar images have a small one, and no variance is the difference of two large numbers. Both are
    filtered around their rounded means for the same reason.
    """
    (sum_mean, sum_variance), (mean_error, error_variance) = _moments(a + b), _moments(a - b)
    # With s = a + b and d = a - b: 2(a² + b²) = s² + d², and 4ab = s² - d².
    luminance = 1 - 2 * mean_error**2 / (sum_mean**2 + mean_error**2 + 2 * _C1)
    structure = 1 - 2 * error_variance / (sum_variance + error_variance + 2 * _C2)
    return float(np.sum(luminance * structure, dtype=np.float64))


def _moments(image: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mean and variance of every window that lies inside an H×W image."""
    centre = np.float32(round(cv2.mean(image)[0]))
    around = image - centre
    mean = _windows(around)
    return mean + centre, _windows(around * around) - mean * mean


def _windows(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    reach = SSIM_WINDOW // 2
    filtered = cv2.sepFilter2D(image, cv2.CV_32F, _KERNEL, _KERNEL)
    return filtered[reach:-reach, reach:-reach].astype(np.float32, copy=False)


def decibels(recorded: float | None) -> float:
    """A figure of `Quality` as a number: `None` is an infinite PSNR."""
    return math.inf if recorded is None else recorded


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _inside_border(a: ImageArray, b: ImageArray, border: int, least: int) -> tuple[ImageArray, ImageArray]:
    if border < 0:
        raise ConfigError(f"quality.border={border}: must be 0 or more")
    for image in (a, b):
        check_image(image, luma_too=True)
    if a.shape != b.shape:
        raise DataError(f"SR and HR must have one shape, not {a.shape} and {b.shape}")
    height, width = a.shape[:2]
    if min(height, width) < 2 * border + least:
        raise DataError(
            f"an image of {describe_size(a.shape)} px is too small: with a border of {border} px it takes "
            f"{2 * border + least}×{2 * border + least}"
        )
    inside = slice(border, height - border), slice(border, width - border)
    return a[inside], b[inside]
