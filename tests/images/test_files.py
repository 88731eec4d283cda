"""Images: what a file may be, what is refused, and how one is written."""

import doctest
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from esr.errors import DataError
from esr.images import files
from esr.images.bicubic import bicubic_downscale, bicubic_upscale
from esr.images.files import read_rgb, write_png
from esr.images.pixels import ImageArray, rgb_to_luma

steadily = settings(deadline=None)

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
    assert doctest.testmod(files).failed == 0


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


def test_a_jpeg_is_read(tmp_path: Path) -> None:
    Image.fromarray(np.full((16, 24, 3), 90, np.uint8)).save(tmp_path / "a.jpg", quality=95)
    image = read_rgb(tmp_path / "a.jpg")
    assert image.shape == (16, 24, 3)
    assert np.abs(image.astype(int) - 90).max() <= 1


rows, columns = np.mgrid[:61, :83]
SMOOTH = np.dstack([3 * rows, 2 * columns, rows + columns]).astype(np.uint8)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        *((".jpg", {"quality": quality, "subsampling": sub}) for quality in (30, 95) for sub in (0, 1, 2)),
        (".jpg", {"progressive": True}),
        (".jpg", {"keep_rgb": True}),
        (".jpg", {"restart_marker_blocks": 2}),
        (".webp", {"quality": 40}),
        (".webp", {"quality": 100, "method": 6}),
        (".tif", {"compression": "tiff_lzw"}),
        (".tif", {"compression": "tiff_adobe_deflate"}),
        (".tif", {"compression": "jpeg"}),
        (".tif", {"compression": "lzma"}),
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_opencv_and_pillow_decode_alike(tmp_path: Path, suffix: str, options: dict[str, object], mode: str) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(SMOOTH).convert(mode).save(path, **options)
    with Image.open(path) as image:
        np.testing.assert_array_equal(read_rgb(path), np.array(image.convert("RGB")))


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_grayscale_of_few_bits_is_stretched_to_255(tmp_path: Path, depth: int) -> None:
    (tmp_path / "a.png").write_bytes(png(8, 1, depth, 0, b"\0" + bytes([255, 0, 0, 0][:depth])))
    assert read_rgb(tmp_path / "a.png")[0, :, 0].tolist() == [255] * (8 // depth) + [0] * (8 - 8 // depth)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_grayscale_is_widened_to_rgb(tmp_path: Path, suffix: str) -> None:
    Image.fromarray(GRAY).save(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(read_rgb(tmp_path / f"a{suffix}"), np.dstack([GRAY] * 3))


def test_black_and_white_becomes_0_and_255(tmp_path: Path) -> None:
    bits = GRAY > 127
    Image.fromarray(bits).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png")[..., 1], np.where(bits, 255, 0))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
@pytest.mark.parametrize("colours", [2, 16, 256])
def test_a_palette_is_looked_up(tmp_path: Path, suffix: str, colours: int) -> None:
    indexed = Image.fromarray(RGB).quantize(colours)
    path = tmp_path / f"a{suffix}"
    indexed.save(path)
    np.testing.assert_array_equal(read_rgb(path), np.array(indexed.convert("RGB")))


def test_white_in_a_bmp_of_5_bits_per_channel_is_255(tmp_path: Path) -> None:
    header = struct.pack("<IHHIIiiHHIIiiII", 54 + 8, 0, 0, 54, 40, 2, 2, 1, 16, 0, 8, 0, 0, 0, 0)
    (tmp_path / "a.bmp").write_bytes(b"BM" + header + struct.pack("<4H", 0, 0x7FFF, 0x7C00, 0x001F))
    assert read_rgb(tmp_path / "a.bmp").tolist() == [[[255, 0, 0], [0, 0, 255]], [[0, 0, 0], [255, 255, 255]]]


def test_of_a_cameras_jpeg_with_previews_the_picture_is_read(tmp_path: Path) -> None:
    preview = Image.fromarray(np.ascontiguousarray(SMOOTH[::4, ::4]))
    Image.fromarray(SMOOTH).save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[preview])
    Image.fromarray(SMOOTH).save(tmp_path / "plain.jpg")
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.jpg"), read_rgb(tmp_path / "plain.jpg"))


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
    Image.fromarray(RGB).save(tmp_path / "plain.jpg")
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.jpg"), read_rgb(tmp_path / "plain.jpg"))


def test_a_tiff_that_would_be_turned_while_decoding_is_refused(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.tif", tiffinfo={274: 6})
    with pytest.raises(DataError, match=r"a\.tif is stored rotated \(TIFF orientation 6\)"):
        read_rgb(tmp_path / "a.tif")


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
        with pytest.raises(DataError, match=f"{name} {message}"):
            read_rgb(tmp_path / name)


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


def test_a_jpeg_whose_stream_breaks_off_at_a_stray_marker_is_an_error_not_a_gray_area(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(SMOOTH).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4] + b"\xff\x46" + bytes(500))
    with pytest.raises(DataError, match=r"a\.jpg is damaged"):
        read_rgb(path)


def test_a_damaged_strip_of_a_tiff_is_an_error_not_noise(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(SMOOTH).save(path, compression="tiff_lzw")
    content = bytearray(path.read_bytes())
    content[200:204] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.tif is damaged"):
        read_rgb(path)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg", ".webp"])
def test_of_a_damaged_file_no_library_writes_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    Image.fromarray(SMOOTH).save(path)
    path.write_bytes(path.read_bytes()[:-90])
    with pytest.raises(DataError, match="is damaged"):
        read_rgb(path)
    assert capfd.readouterr() == ("", "")


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
    with pytest.raises(DataError, match=r"a\.png claims more than 89 megapixels"):
        read_rgb(tmp_path / "a.png")


# Writing


@steadily
@given(image=small_images())
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, image: ImageArray) -> None:
    path = tmp_path_factory.mktemp("written") / "a.png"
    write_png(path, image)
    np.testing.assert_array_equal(read_rgb(path), image)


# Chunks of a PNG that determine no pixel


def with_chunk(path: Path, name: bytes, data: bytes, *, broken: bool = False, at_end: bool = False) -> None:
    """Puts a chunk after the header, or before the end."""
    content = path.read_bytes()
    chunk = struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data) ^ broken)
    place = len(content) - 12 if at_end else 33
    path.write_bytes(content[:place] + chunk + content[place:])


LARGE_TEXT = b"note\0\0" + zlib.compress(bytes(3_000_000))
HARMLESS = {
    "a large text": (b"tEXt", b"note\0" + b"x" * 5_000_000),
    "a text that grows": (b"zTXt", LARGE_TEXT),
    "an international text that grows": (b"iTXt", b"note\0\1\0\0\0" + zlib.compress(bytes(3_000_000))),
    "a large profile": (b"iCCP", b"profile\0\0" + zlib.compress(bytes(9_000_000))),
    "a profile that is none": (b"iCCP", b"profile"),
    "an odd gamma": (b"gAMA", b"\0\0\0\1"),
    "a broken date": (b"tIME", b""),
    "a chunk of somebody's own": (b"prVt", b"anything"),
    "a turned orientation": (b"eXIf", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"),
}


@pytest.mark.parametrize("kind", HARMLESS)
@pytest.mark.parametrize("at_end", [False, True])
def test_what_a_png_says_beside_its_pixels_never_harms_them(tmp_path: Path, kind: str, at_end: bool) -> None:
    path = tmp_path / "a.png"
    write_png(path, RGB)
    with_chunk(path, *HARMLESS[kind], at_end=at_end)
    np.testing.assert_array_equal(read_rgb(path), RGB)


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"pHYs", b"eXIf", b"tIME"])
def test_a_wrong_checksum_beside_the_pixels_is_harmless(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / "a.png"
    write_png(path, RGB)
    with_chunk(path, name, b"note\0text", broken=True)
    np.testing.assert_array_equal(read_rgb(path), RGB)


@pytest.mark.parametrize("name", [b"tRNS", b"iDAT", b"qqQq"])
def test_a_wrong_checksum_that_may_concern_pixels_is_damage(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / "a.png"
    write_png(path, RGB)
    with_chunk(path, name, b"note", broken=True)
    with pytest.raises(DataError, match=r"a\.png is damaged \(wrong checksum in chunk"):
        read_rgb(path)


def test_bytes_after_the_end_of_a_png_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_png(path, RGB)
    path.write_bytes(path.read_bytes() + b"appended by a camera")
    np.testing.assert_array_equal(read_rgb(path), RGB)


def test_luma_is_written_as_grayscale(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", GRAY)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "L"


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_png(path, RGB)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"cannot write .*a\.png: No space left on device"):
        write_png(path, RGB[::-1])
    monkeypatch.undo()
    np.testing.assert_array_equal(read_rgb(path), RGB)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_a_png_is_written_with_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_png(tmp_path / "a.png", RGB)
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_folder_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "none").touch()
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
