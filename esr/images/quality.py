"""PSNR and SSIM of an SR image against its HR, as the challenge measures them: 8 bits, border cut.

Pure functions over uint8 arrays, H×W×3 RGB or H×W luma. PSNR of identical images is infinite; JSON has no
infinity, so `Quality.as_dict` writes it as null, which in a record can mean nothing else.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass

import numpy as np

from esr.errors import ConfigError, DataError
from esr.images.pixels import SSIM_WINDOW, ImageArray, check_image, describe_size, rgb_to_luma

PEAK = 255
"""Largest 8-bit value: the signal in PSNR, the data range in SSIM."""


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
    # Imported here: it brings scipy, which a run without HR images need not wait for.
    from skimage.metrics import structural_similarity  # noqa: PLC0415

    similarity = structural_similarity(  # type: ignore[no-untyped-call]
        a,
        b,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=PEAK,
        channel_axis=2 if a.ndim == 3 else None,  # noqa: PLR2004 - H×W×3
    )
    return float(similarity)


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
