"""PSNR and SSIM as the challenge defines them."""

import doctest
import json
import math
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import structural_similarity

from esr.errors import ConfigError, DataError
from esr.images import quality
from esr.images.bicubic import bicubic_upscale
from esr.images.files import read_rgb
from esr.images.pixels import ImageArray, crop_to_multiple, rgb_to_luma
from esr.images.quality import mean_quality, measure, psnr, ssim
from esr.records.network import Quality

steadily = settings(deadline=None)

Two = tuple[ImageArray, ImageArray]


@st.composite
def two_images(draw: st.DrawFn, least: int = 19, most: int = 26) -> Two:
    """A random image and a noisy copy, RGB or luma; as much noise as to make them nearly equal or strangers."""
    shape: tuple[int, ...] = (draw(st.integers(least, most)), draw(st.integers(least, most)))
    if draw(st.booleans()):
        shape = (*shape, 3)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    image = rng.integers(0, 256, shape)
    noise = draw(st.integers(0, 255))
    noisy = np.clip(image + rng.integers(-noise, noise, shape, endpoint=True), 0, 255)
    return image.astype(np.uint8), noisy.astype(np.uint8)


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(quality).failed == 0


# PSNR


def exact_psnr(a: ImageArray, b: ImageArray, border: int) -> float:
    """In exact rationals up to the logarithm."""
    inside = (slice(border, a.shape[0] - border), slice(border, a.shape[1] - border))
    differences = [int(x) - int(y) for x, y in zip(a[inside].flat, b[inside].flat, strict=True)]
    mean_square = Fraction(sum(d * d for d in differences), len(differences))
    return math.inf if mean_square == 0 else 10 * math.log10(255**2 / mean_square)


@steadily
@given(images=two_images(least=9), border=st.integers(0, 4))
def test_psnr_agrees_with_exact_arithmetic(images: Two, border: int) -> None:
    assert psnr(*images, border) == pytest.approx(exact_psnr(*images, border), rel=1e-13)


@steadily
@given(images=two_images())
def test_psnr_is_symmetric(images: Two) -> None:
    a, b = images
    assert psnr(a, b) == psnr(b, a)


@steadily
@given(image=arrays(np.uint8, (12, 13, 3)))
def test_identical_images_have_an_infinite_psnr(image: ImageArray) -> None:
    assert psnr(image, image.copy()) == math.inf


def test_psnr_pools_the_squared_error_of_all_channels_before_the_logarithm() -> None:
    hr = np.zeros((10, 10, 3), np.uint8)
    sr = hr + np.array([0, 0, 9], np.uint8)
    assert psnr(sr, hr) == pytest.approx(10 * math.log10(255**2 / 27))


def test_what_happens_in_the_border_does_not_count() -> None:
    hr = np.full((24, 24, 3), 100, np.uint8)
    sr = hr.copy()
    sr[:4] = sr[-4:] = sr[:, :4] = sr[:, -4:] = 0
    assert psnr(sr, hr) == math.inf
    assert ssim(sr, hr) == 1.0
    assert psnr(sr, hr, border=3) < 30
    assert ssim(sr, hr, border=3) < 1


def test_darker_and_brighter_by_one_count_alike() -> None:
    hr = np.full((10, 10), 128, np.uint8)
    assert psnr(hr - np.uint8(1), hr) == psnr(hr + np.uint8(1), hr) == pytest.approx(48.1308036, abs=1e-7)


# SSIM


def ssim_by_definition(a: ImageArray, b: ImageArray) -> float:
    """Every 11×11 window of one channel in turn, weighted by a Gaussian of σ 1.5."""
    bell = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = np.outer(bell, bell) / bell.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for window_a, window_b in zip(
        *(
            np.lib.stride_tricks.sliding_window_view(image.astype(float), (11, 11)).reshape(-1, 11, 11)
            for image in (a, b)
        ),
        strict=True,
    ):
        mean_a, mean_b = (weights * window_a).sum(), (weights * window_b).sum()
        var_a, var_b = ((weights * (w - m) ** 2).sum() for w, m in ((window_a, mean_a), (window_b, mean_b)))
        covariance = (weights * (window_a - mean_a) * (window_b - mean_b)).sum()
        similar = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
        values.append(similar / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))
    return float(np.mean(values))


@steadily
@given(images=two_images(), border=st.integers(0, 4))
def test_ssim_is_what_its_definition_says(images: Two, border: int) -> None:
    inside = (slice(border, images[0].shape[0] - border), slice(border, images[0].shape[1] - border))
    a, b = (np.atleast_3d(image[inside]) for image in images)
    expected = np.mean([ssim_by_definition(a[..., c], b[..., c]) for c in range(a.shape[2])])
    assert ssim(*images, border) == pytest.approx(expected, abs=1e-6)


def ssim_of_scikit_image(a: ImageArray, b: ImageArray) -> float:
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    return float(structural_similarity(a, b, channel_axis=2 if a.ndim == 3 else None, **options))


@steadily
@given(images=two_images(least=11, most=64))
def test_ssim_agrees_with_scikit_image(images: Two) -> None:
    assert ssim(*images, border=0) == pytest.approx(ssim_of_scikit_image(*images), abs=1e-6)


@steadily
@given(st.integers(0, 255), st.integers(0, 255))
def test_ssim_of_flat_images_agrees_with_scikit_image(value: int, other: int) -> None:
    a, b = np.full((13, 17), value, np.uint8), np.full((13, 17), other, np.uint8)
    assert ssim(a, b, border=0) == pytest.approx(ssim_of_scikit_image(a, b), abs=1e-6)


@pytest.mark.parametrize("name", ["baby", "bird", "butterfly", "head", "woman"])
def test_ssim_of_bicubic_on_set5_agrees_with_scikit_image(reference: Path, name: str) -> None:
    hr = crop_to_multiple(read_rgb(reference / "set5" / "HR" / f"{name}.bmp"))
    sr = bicubic_upscale(read_rgb(reference / "set5" / "LR_x4" / f"{name}x4.bmp"))
    for a, b in ((sr, hr), (rgb_to_luma(sr), rgb_to_luma(hr))):
        assert ssim(a, b, border=0) == pytest.approx(ssim_of_scikit_image(a, b), abs=1e-6)


@steadily
@given(images=two_images())
def test_ssim_is_symmetric_and_at_most_one(images: Two) -> None:
    a, b = images
    assert ssim(a, b) == pytest.approx(ssim(b, a), abs=1e-14)
    assert -1 <= ssim(a, b) <= 1
    assert ssim(a, a) == 1.0


def test_ssim_of_rgb_is_the_mean_of_its_channels() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, 30, 40, 3), dtype=np.uint8)
    assert ssim(a, b) == pytest.approx(np.mean([ssim(a[..., c], b[..., c]) for c in range(3)]), abs=1e-15)


def test_one_window_is_enough_and_one_pixel_less_is_not() -> None:
    image = np.zeros((19, 19, 3), np.uint8)
    assert ssim(image, image) == 1.0
    with pytest.raises(DataError, match="19×18 px is too small: with a border of 4 px it takes 19×19"):
        ssim(image[:18], image[:18])


# Both


def test_measure_takes_rgb_and_rounded_luma() -> None:
    rng = np.random.default_rng(0)
    sr, hr = rng.integers(0, 256, (2, 24, 28, 3), dtype=np.uint8)
    sr_y, hr_y = rgb_to_luma(sr), rgb_to_luma(hr)
    assert measure(sr, hr) == Quality(psnr(sr, hr), ssim(sr, hr), psnr(sr_y, hr_y), ssim(sr_y, hr_y))
    assert measure(sr, hr, border=2) == Quality(
        psnr(sr, hr, 2), ssim(sr, hr, 2), psnr(sr_y, hr_y, 2), ssim(sr_y, hr_y, 2)
    )


@pytest.mark.parametrize("metric", [psnr, ssim, measure])
def test_images_of_two_shapes_cannot_be_compared(metric: object) -> None:
    a, b = np.zeros((24, 24, 3), np.uint8), np.zeros((24, 28, 3), np.uint8)
    with pytest.raises(DataError, match=r"one shape, not \(24, 24, 3\) and \(24, 28, 3\)"):
        metric(a, b)  # type: ignore[operator]


@pytest.mark.parametrize("metric", [psnr, ssim, measure])
def test_an_image_that_was_not_rounded_to_8_bits_is_refused(metric: object) -> None:
    hr = np.zeros((24, 24, 3), np.uint8)
    with pytest.raises(DataError, match=r"uint8 array of .* not float64"):
        metric(hr.astype(float), hr)  # type: ignore[operator]


@pytest.mark.parametrize("metric", [psnr, ssim, measure])
def test_a_negative_border_is_refused(metric: object) -> None:
    hr = np.zeros((24, 24, 3), np.uint8)
    with pytest.raises(ConfigError, match="border=-1: must be 0 or more"):
        metric(hr, hr, -1)  # type: ignore[operator]


def test_nothing_inside_the_border_is_refused_rather_than_nan() -> None:
    image = np.zeros((8, 30, 3), np.uint8)
    with pytest.raises(DataError, match="30×8 px is too small: with a border of 4 px it takes 9×9"):
        psnr(image, image)


def test_the_mean_averages_decibels_not_errors() -> None:
    mean = mean_quality([Quality(20, 0.5, 22, 0.25), Quality(40, 1.0, 42, 0.75)])
    assert mean == Quality(30, 0.75, 32, 0.5)


def test_the_mean_of_nothing_is_an_error() -> None:
    with pytest.raises(DataError, match="no image was measured"):
        mean_quality([])


def test_an_infinite_psnr_is_null_in_json() -> None:
    image = np.full((20, 20, 3), 7, np.uint8)
    mean = mean_quality([measure(image, image), Quality(30, 0.9, 31, 0.9)])
    assert mean.psnr_rgb is None
    document = json.loads(msgspec.json.encode(mean))
    assert document == {"psnr_rgb": None, "ssim_rgb": 0.95, "psnr_y": None, "ssim_y": 0.95}


def test_bicubic_on_set5_has_its_known_quality(reference: Path) -> None:
    qualities, unrounded = [], []
    for path in sorted((reference / "set5" / "HR").iterdir()):
        hr = crop_to_multiple(read_rgb(path))
        sr = bicubic_upscale(read_rgb(reference / "set5" / "LR_x4" / f"{path.stem}x4.bmp"))
        qualities.append(measure(sr, hr))
        luma = [np.dot(image.astype(float), [65.481, 128.553, 24.966]) / 255 for image in (sr, hr)]
        difference = (luma[0] - luma[1])[4:-4, 4:-4]
        unrounded.append(10 * math.log10(255**2 / np.mean(difference**2)))
    assert np.mean(unrounded) == pytest.approx(28.43, abs=0.005)  # as papers print it
    assert mean_quality(qualities).psnr_y == pytest.approx(28.42, abs=0.005)  # luma rounded first
    assert mean_quality(qualities).ssim_y == pytest.approx(0.810, abs=0.001)


def test_strips_of_an_image_have_the_ssim_of_the_whole(monkeypatch):
    random = np.random.default_rng(11)
    hr = random.integers(0, 256, (97, 83), np.uint8)
    sr = np.clip(hr + random.normal(0, 9, hr.shape), 0, 255).astype(np.uint8)
    whole = ssim(sr, hr)
    for values in (1, 83, 83 * 7):
        monkeypatch.setattr(quality, "_STRIP_VALUES", values)
        assert abs(ssim(sr, hr) - whole) < 1e-6
