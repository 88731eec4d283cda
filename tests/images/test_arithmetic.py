"""Pixel arithmetic: cropping, luma, and the bicubic behind every published LR set."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from esr.errors import DataError
from esr.images.bicubic import bicubic_downscale, bicubic_upscale
from esr.images.files import read_rgb
from esr.images.pixels import ImageArray, crop_to_multiple, rgb_to_luma

steadily = settings(deadline=None)
sparingly = settings(deadline=None, max_examples=20)  # exact rationals are slow

RGB = np.random.default_rng(0).integers(0, 256, (21, 34, 3), dtype=np.uint8)


def small_images(multiple: int = 1) -> st.SearchStrategy[ImageArray]:
    side = st.integers(1, 6).map(lambda n: n * multiple)
    return st.tuples(side, side, st.just(3)).flatmap(lambda shape: arrays(np.uint8, shape))


# Cropping and luma


@steadily
@given(height=st.integers(4, 40), width=st.integers(4, 40), multiple=st.integers(1, 4))
def test_cropping_takes_the_largest_top_left_part(height: int, width: int, multiple: int) -> None:
    image = np.arange(height * width * 3, dtype=np.uint32).astype(np.uint8).reshape(height, width, 3)
    cropped = crop_to_multiple(image, multiple)
    assert all(side % multiple == 0 for side in cropped.shape[:2])
    assert height - cropped.shape[0] < multiple
    assert width - cropped.shape[1] < multiple
    np.testing.assert_array_equal(cropped, image[: cropped.shape[0], : cropped.shape[1]])


def test_an_image_smaller_than_the_multiple_cannot_be_cropped() -> None:
    with pytest.raises(DataError, match="an image of 9×3 px is smaller than 4×4"):
        crop_to_multiple(np.zeros((3, 9, 3), np.uint8))


@steadily
@given(image=small_images())
def test_luma_is_the_rounded_bt601_sum_in_studio_swing(image: ImageArray) -> None:
    luma = rgb_to_luma(image)
    assert luma.dtype == np.uint8
    assert luma.min() >= 16
    assert luma.max() <= 235
    exact = np.dot(image.astype(float), [65.481, 128.553, 24.966]) / 255 + 16
    np.testing.assert_array_equal(luma, np.round(exact))


def test_luma_of_primaries_is_what_the_standard_says() -> None:
    primaries = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128]]], np.uint8)
    assert rgb_to_luma(primaries).tolist() == [[81, 145, 41, 126]]


def test_luma_of_a_million_colours_agrees_with_integer_arithmetic() -> None:
    image = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    weighted = image.astype(np.int64) @ np.array([65481, 128553, 24966])
    tie = weighted % 255_000 == 127_500  # one colour in 86 000, where the direction of rounding is a choice
    nearest = 16 + (weighted + 127_500) // 255_000
    np.testing.assert_array_equal(rgb_to_luma(image)[~tie], nearest[~tie])


# Bicubic


def slow_bicubic(image: ImageArray, numerator: int, denominator: int) -> ImageArray:
    """MATLAB's method in exact rationals, one value at a time; rows, round, columns, round."""

    def cubic(x: Fraction) -> Fraction:
        x = abs(x)
        if x <= 1:
            return Fraction(3, 2) * x**3 - Fraction(5, 2) * x**2 + 1
        return -Fraction(1, 2) * x**3 + Fraction(5, 2) * x**2 - 4 * x + 2 if x < 2 else Fraction(0)

    def shrink_line(line: list[int]) -> list[int]:
        size, shrink = len(line), max(Fraction(1), Fraction(denominator, numerator))
        mirrored = line + line[::-1]
        result = []
        for x in range(1, size * numerator // denominator + 1):
            scale = Fraction(numerator, denominator)
            u = x / scale + Fraction(1, 2) * (1 - 1 / scale)
            near = range(math.floor(u - 2 * shrink) - 1, math.ceil(u + 2 * shrink) + 2)
            weights = {p: cubic((u - p) / shrink) for p in near}
            value = sum(weight * mirrored[(p - 1) % (2 * size)] for p, weight in weights.items())
            rounded = math.floor(value / sum(weights.values()) + Fraction(1, 2))
            result.append(min(255, max(0, rounded)))
        return result

    planes = []
    for channel in range(3):
        columns = [shrink_line(column.tolist()) for column in image[..., channel].T]
        rows = [shrink_line(list(row)) for row in zip(*columns, strict=True)]
        planes.append(rows)
    return np.moveaxis(np.array(planes, np.uint8), 0, 2)


@sparingly
@given(image=small_images(multiple=4))
def test_downscaling_agrees_with_exact_arithmetic(image: ImageArray) -> None:
    np.testing.assert_array_equal(bicubic_downscale(image), slow_bicubic(image, 1, 4))


@sparingly
@given(image=small_images())
def test_upscaling_agrees_with_exact_arithmetic(image: ImageArray) -> None:
    np.testing.assert_array_equal(bicubic_upscale(image), slow_bicubic(image, 4, 1))


@steadily
@given(value=st.integers(0, 255), height=st.integers(1, 9), width=st.integers(1, 9), scale=st.integers(1, 5))
def test_a_constant_image_stays_constant(value: int, height: int, width: int, scale: int) -> None:
    image = np.full((height * scale, width * scale, 3), value, np.uint8)
    assert (bicubic_downscale(image, scale) == value).all()
    assert bicubic_downscale(image, scale).shape == (height, width, 3)
    assert (bicubic_upscale(image, scale) == value).all()


@steadily
@given(image=small_images(multiple=4))
def test_mirroring_commutes_with_bicubic(image: ImageArray) -> None:
    np.testing.assert_array_equal(bicubic_downscale(image[::-1, ::-1]), bicubic_downscale(image)[::-1, ::-1])
    np.testing.assert_array_equal(bicubic_upscale(image[::-1, ::-1]), bicubic_upscale(image)[::-1, ::-1])


@steadily
@given(image=small_images())
def test_scale_1_changes_nothing(image: ImageArray) -> None:
    np.testing.assert_array_equal(bicubic_downscale(image, 1), image)
    np.testing.assert_array_equal(bicubic_upscale(image, 1), image)


def test_a_side_that_is_no_multiple_of_the_scale_is_refused() -> None:
    with pytest.raises(DataError, match="34×21 px has a side that is no multiple of 4"):
        bicubic_downscale(RGB)


@pytest.mark.parametrize("name", ["baby", "bird", "butterfly", "head", "woman"])
def test_the_published_lr_of_set5_is_reproduced_bit_for_bit(reference: Path, name: str) -> None:
    hr = crop_to_multiple(read_rgb(reference / "set5" / "HR" / f"{name}.bmp"))
    lr = read_rgb(reference / "set5" / "LR_x4" / f"{name}x4.bmp")
    np.testing.assert_array_equal(bicubic_downscale(hr), lr)
