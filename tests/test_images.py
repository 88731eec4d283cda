"""What an image file may be, what is refused, and the pixel arithmetic behind every published LR set."""

import doctest
import math
import struct
import warnings
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from esr import images
from esr.errors import DataError
from esr.images import (
    ImageArray,
    bicubic_downscale,
    bicubic_upscale,
    crop_to_multiple,
    image_size,
    read_rgb,
    rgb_to_luma,
    write_png,
)

steadily = settings(deadline=None)
sparingly = settings(deadline=None, max_examples=20)  # exact rationals are slow

RGB = np.random.default_rng(0).integers(0, 256, (21, 34, 3), dtype=np.uint8)
GRAY = RGB[..., 0]


def small_images(multiple: int = 1) -> st.SearchStrategy[ImageArray]:
    side = st.integers(1, 6).map(lambda n: n * multiple)
    return st.tuples(side, side, st.just(3)).flatmap(lambda shape: arrays(np.uint8, shape))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG file with any header, also one that Pillow would not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(images).failed == 0


# Reading


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff", ".webp", ".PNG"])
def test_lossless_formats_give_back_the_same_pixels(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(RGB).save(path, lossless=True)
    image = read_rgb(path)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert image.flags.writeable
    np.testing.assert_array_equal(image, RGB)
    assert image_size(str(path)) == (21, 34)


def test_a_jpeg_is_read(tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 24, 3), 90, np.uint8)).save(tmp_path / "a.jpg", quality=95)
    image = read_rgb(tmp_path / "a.jpg")
    assert image.shape == (16, 24, 3)
    assert np.abs(image.astype(int) - 90).max() <= 1


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_grayscale_is_widened_to_rgb(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(GRAY).save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_rgb(tmp_path / f"a{suffix}"), np.dstack([GRAY] * 3))


def test_black_and_white_becomes_0_and_255(tmp_path: Path) -> None:
    bits = GRAY > 127
    Image.fromarray(bits).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png")[..., 1], np.where(bits, 255, 0))


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    indexed = Image.fromarray(RGB).quantize(16)
    indexed.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), np.array(indexed.convert("RGB")))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_an_opaque_alpha_channel_is_dropped(tmp_path: Path, suffix: str) -> None:
    rgba = np.dstack([RGB, np.full_like(GRAY, 255)])
    Image.fromarray(rgba).save(tmp_path / f"a{suffix}", lossless=True)
    np.testing.assert_array_equal(read_rgb(tmp_path / f"a{suffix}"), RGB)


def test_one_pixel_that_is_not_opaque_refuses_the_image(tmp_path: Path) -> None:
    alpha = np.full_like(GRAY, 255)
    alpha[20, 33] = 254
    Image.fromarray(np.dstack([RGB, alpha])).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png has transparent pixels; flatten"):
        read_rgb(tmp_path / "a.png")


def test_a_transparent_palette_entry_refuses_the_image_only_where_it_is_used(tmp_path: Path) -> None:
    indices = Image.frombytes("P", (2, 2), bytes([0, 1, 1, 0]))
    indices.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    indices.save(tmp_path / "used.png", transparency=1)
    indices.save(tmp_path / "unused.png", transparency=2)
    assert read_rgb(tmp_path / "unused.png")[0].tolist() == [[10, 20, 30], [40, 50, 60]]
    with pytest.raises(DataError, match="transparent"):
        read_rgb(tmp_path / "used.png")


def test_a_transparent_colour_of_an_rgb_png_counts_as_transparency(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png", transparency=tuple(int(value) for value in RGB[0, 0]))
    with pytest.raises(DataError, match="transparent"):
        read_rgb(tmp_path / "a.png")


def test_exif_orientation_is_ignored_so_that_pixels_stay_where_the_file_has_them(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), RGB)
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif)
    assert read_rgb(tmp_path / "a.jpg").shape == RGB.shape
    assert image_size(tmp_path / "a.jpg") == (21, 34)


@pytest.mark.parametrize("reader", [read_rgb, image_size])
def test_a_tiff_that_would_be_turned_while_decoding_is_refused(tmp_path: Path, reader: object) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.tif", tiffinfo={274: 6})
    with pytest.raises(DataError, match=r"a\.tif is stored rotated \(TIFF orientation 6\)"):
        reader(tmp_path / "a.tif")  # type: ignore[operator]


def test_16_bit_rgb_is_refused_although_pillow_would_halve_it_silently(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(2, 2, 16, 2, bytes(2 * (1 + 12))))
    with pytest.raises(DataError, match=r"a\.png has 16 bits per channel; save it as an 8-bit RGB PNG"):
        read_rgb(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", RGB.astype(np.uint16) * 257)
    with pytest.raises(DataError, match=r"a\.tif has 16 bits per channel"):
        read_rgb(tmp_path / "a.tif")


def test_16_bit_grayscale_is_refused(tmp_path: Path) -> None:
    Image.fromarray(GRAY.astype(np.uint16) * 256).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="16 bits per channel"):
        read_rgb(tmp_path / "a.png")


def test_floating_point_is_refused(tmp_path: Path) -> None:
    Image.fromarray(GRAY.astype(np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match="32 bits per channel"):
        read_rgb(tmp_path / "a.tif")


@pytest.mark.parametrize(("mode", "suffix"), [("CMYK", ".jpg"), ("CMYK", ".tif"), ("LAB", ".tif")])
def test_other_colour_spaces_are_refused(tmp_path: Path, mode: str, suffix: str) -> None:
    Image.fromarray(RGB).convert(mode).save(tmp_path / f"a{suffix}")
    with pytest.raises(DataError, match=f"a{suffix} is {mode}, not RGB"):
        read_rgb(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_several_frames_are_refused(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(RGB), Image.fromarray(np.ascontiguousarray(RGB[::-1]))]
    frames[0].save(tmp_path / f"a{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="holds 2 frames"):
        read_rgb(tmp_path / f"a{suffix}")


def test_files_that_are_no_image_are_named_with_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "broken.png").symlink_to("nowhere")
    Image.fromarray(RGB).save(tmp_path / "really.gif")
    (tmp_path / "really.gif").rename(tmp_path / "gif.png")
    expected = {
        "missing.png": "is not there",
        "broken.png": "is not there",
        "empty.png": "is empty",
        "folder.png": "is a folder",
        "text.png": "is no PNG, BMP, JPEG, TIFF or WebP image",
        "gif.png": "is no PNG, BMP, JPEG, TIFF or WebP image",
    }
    for name, message in expected.items():
        for reader in (read_rgb, image_size):
            with pytest.raises(DataError, match=f"{name} {message}"):
                reader(tmp_path / name)


def test_a_device_is_never_read() -> None:
    with pytest.raises(DataError, match="is not a regular file"):
        read_rgb("/dev/zero")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("kept", [0.02, 0.5, 0.95, 0.995])
def test_a_truncated_file_is_an_error_not_a_gray_area(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(RGB).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's own, about the tags of a truncated TIFF
        with pytest.raises(DataError, match=f"a{suffix} (is damaged|is no PNG)"):
            read_rgb(path)


def test_a_flipped_byte_anywhere_in_a_png_never_passes_for_another_image(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:40, :50]
    image = np.dstack([3 * rows, 2 * columns, rows + columns]).astype(np.uint8)
    path = tmp_path / "a.png"
    write_png(path, image)
    content = path.read_bytes()
    noticed = 0
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 37]) + content[place + 1 :])
        try:
            np.testing.assert_array_equal(read_rgb(path), image)
        except DataError:
            noticed += 1
    assert noticed > 0.9 * len(content)


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    (tmp_path / "a.png").write_bytes(png(side, side, 8, 2, b""))
    for reader in (read_rgb, image_size):
        with pytest.raises(DataError, match=r"a\.png claims more than 89 megapixels"):
            reader(tmp_path / "a.png")


def test_the_size_is_read_without_decoding(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", RGB)
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[: len(content) // 2])
    assert image_size(tmp_path / "a.png") == (21, 34)


# Writing


@steadily
@given(image=small_images())
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, image: ImageArray) -> None:
    path = tmp_path_factory.mktemp("written") / "a.png"
    write_png(path, image)
    np.testing.assert_array_equal(read_rgb(path), image)


def test_luma_is_written_as_grayscale(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", GRAY)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "L"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    write_png(path, RGB)

    def full(self: Image.Image, target: Path, **_: object) -> None:
        target.write_bytes(b"half a")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(DataError, match=r"cannot write .*a\.png: No space left on device"):
        write_png(path, RGB[::-1])
    monkeypatch.undo()
    np.testing.assert_array_equal(read_rgb(path), RGB)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_a_png_is_written_with_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_png(tmp_path / "a.png", RGB)
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot write .*none/a\.png"):
        write_png(tmp_path / "none" / "a.png", RGB)


@pytest.mark.parametrize(
    "wrong",
    [
        RGB.astype(np.float32),
        RGB[None],
        np.dstack([RGB, GRAY]),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_image_are_refused_everywhere(tmp_path: Path, wrong: ImageArray) -> None:
    for use in (
        lambda: write_png(tmp_path / "a.png", wrong),
        lambda: rgb_to_luma(wrong),
        lambda: bicubic_downscale(wrong),
        lambda: bicubic_upscale(wrong),
    ):
        with pytest.raises(DataError, match="an image is a uint8 array of H×W×3"):
            use()
    assert not list(tmp_path.iterdir())


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
