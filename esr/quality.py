"""PSNR and SSIM of an SR image against its HR, as the challenge measures them: 8 bits, border cut.

Pure functions over uint8 arrays, H×W×3 RGB or H×W luma. PSNR of identical images is infinite; JSON has no
infinity, so `Quality.as_dict` writes it as null, which in a record can mean nothing else.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from esr.errors import ConfigError, DataError
from esr.images import SSIM_WINDOW, ImageArray, check_image, describe_size, rgb_to_luma

PEAK = 255
"""Largest 8-bit value: the signal in PSNR, the data range in SSIM."""

Plane: TypeAlias = npt.NDArray[np.float64]

_C1, _C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2  # Wang et al. 2004
_HALF = SSIM_WINDOW // 2
_BELL = np.exp(-((np.arange(SSIM_WINDOW) - _HALF) ** 2) / (2 * 1.5**2))
_GAUSSIAN = (_BELL / _BELL.sum()).tolist()
_SSIM_BAND = 64  # rows; a third of the time that whole 2040×1356 planes take


@dataclass(frozen=True)
class Quality:
    """How close an SR image is to its HR, or the mean of that over images.

    >>> Quality(math.inf, 1.0, 30.5, 0.9).as_dict()
    {'psnr_rgb': None, 'ssim_rgb': 1.0, 'psnr_y': 30.5, 'ssim_y': 0.9}
    """

    psnr_rgb: float
    """dB, over all three channels together; infinite where the images are identical."""
    ssim_rgb: float
    """Mean of the three channels' SSIM, at most 1."""
    psnr_y: float
    """dB, on luma rounded to 8 bits; infinite where the luma is identical."""
    ssim_y: float
    """SSIM of that luma, at most 1."""

    def as_dict(self) -> dict[str, float | None]:
        """The four figures for a JSON document; an infinite PSNR is None."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


def measure(sr: ImageArray, hr: ImageArray, border: int = 4) -> Quality:
    """All four figures of one SR image, H×W×3 uint8, against an HR image of the same shape.

    >>> hr = np.tile(np.arange(20, dtype=np.uint8)[:, None, None], (1, 20, 3))
    >>> quality = measure(hr + np.uint8(5), hr)
    >>> round(quality.psnr_rgb, 2), round(quality.psnr_y, 2), quality.ssim_rgb < 1
    (34.15, 35.34, True)

    Raises:
        ConfigError: `border` is negative.
        DataError: The images are no RGB images of one shape, or too small for border and window.
    """
    sr_y, hr_y = rgb_to_luma(sr), rgb_to_luma(hr)
    return Quality(
        psnr(sr, hr, border), ssim(sr, hr, border), psnr(sr_y, hr_y, border), ssim(sr_y, hr_y, border)
    )


def mean_quality(qualities: Sequence[Quality]) -> Quality:
    """The mean of each figure over images, as a data set's quality is published: decibels are averaged.

    One image with an infinite PSNR makes the mean infinite.

    >>> mean_quality([Quality(30, 0.5, 32, 0.75), Quality(40, 1.0, 42, 1.0)])
    Quality(psnr_rgb=35.0, ssim_rgb=0.75, psnr_y=37.0, ssim_y=0.875)

    Raises:
        DataError: There is none.
    """
    if not qualities:
        raise DataError("no image was measured, so there is no mean quality")
    columns = zip(*(astuple(quality) for quality in qualities), strict=True)
    return Quality(*(math.fsum(column) / len(qualities) for column in columns))


def psnr(a: ImageArray, b: ImageArray, border: int = 4) -> float:
    """Peak signal-to-noise ratio in dB: 20·log10(255 / RMSE), RMSE over all values inside the border.

    Both images are uint8, H×W×3 or H×W; the error is computed in float64. Identical images give infinity.

    >>> black = np.zeros((16, 16, 3), np.uint8)
    >>> round(psnr(black, black + np.uint8(1)), 4)
    48.1308
    >>> psnr(black, black)
    inf

    Raises:
        ConfigError: `border` is negative.
        DataError: The images are no uint8 images of one shape, or nothing is left inside the border.
    """
    a, b = _inside_border(a, b, border, least=1)
    mean_square = float(np.mean((a.astype(np.float64) - b) ** 2))
    return math.inf if mean_square == 0 else 20 * math.log10(PEAK / math.sqrt(mean_square))


def ssim(a: ImageArray, b: ImageArray, border: int = 4) -> float:
    """Structural similarity (Wang et al. 2004), at most 1; of RGB, the mean of the channels.

    An 11×11 Gaussian window with σ 1.5, the covariances of the window's population, C1 = (0.01·255)²,
    C2 = (0.03·255)²; the mean over every window that lies wholly inside the border.

    >>> ramp = np.arange(20 * 20, dtype=np.uint16).reshape(20, 20).astype(np.uint8)
    >>> ssim(ramp, ramp)
    1.0

    Raises:
        ConfigError: `border` is negative.
        DataError: The images are no uint8 images of one shape, or no window fits inside the border.
    """
    a, b = _inside_border(a, b, border, least=SSIM_WINDOW)
    planes = [np.moveaxis(np.atleast_3d(image), 2, 0) for image in (a, b)]
    return math.fsum(map(_ssim_of_plane, *planes)) / len(planes[0])


def _ssim_of_plane(a: ImageArray, b: ImageArray) -> float:
    """Mean over all windows, a band of rows at a time: a band's intermediates stay in the CPU's cache."""
    rows, columns = (side - SSIM_WINDOW + 1 for side in a.shape)
    total = 0.0
    for top in range(0, rows, _SSIM_BAND):
        band = slice(top, top + _SSIM_BAND + SSIM_WINDOW - 1)
        total += float(_similarity(a[band].astype(np.float64), b[band].astype(np.float64)).sum())
    windows: int = rows * columns
    return total / windows


def _similarity(a: Plane, b: Plane) -> Plane:
    mean_a, mean_b = _window_mean(a), _window_mean(b)
    product, squares = mean_a * mean_b, mean_a**2 + mean_b**2
    covariance = _window_mean(a * b) - product
    variances = _window_mean(a * a + b * b) - squares
    similarity: Plane = (2 * product + _C1) * (2 * covariance + _C2) / ((squares + _C1) * (variances + _C2))
    return similarity


def _window_mean(plane: Plane) -> Plane:
    """The Gaussian mean of each window that lies wholly inside: both sides shrink by 10."""
    columns = np.ascontiguousarray(_mean_over_rows(plane).T)
    return _mean_over_rows(columns).T


def _mean_over_rows(plane: Plane) -> Plane:
    rows = plane.shape[0] - SSIM_WINDOW + 1
    mean: Plane = _GAUSSIAN[_HALF] * plane[_HALF : _HALF + rows]
    for k in range(_HALF):  # the window is symmetric
        mean += _GAUSSIAN[k] * (plane[k : k + rows] + plane[SSIM_WINDOW - 1 - k :][:rows])
    return mean


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
