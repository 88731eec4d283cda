"""Image files: read as 8-bit RGB where that loses nothing, refused where it would; PNG written whole.

OpenCV decodes and encodes pixels. Pillow reads the headers, because OpenCV reports neither colour space nor bits per
channel, frames or transparent colours, and looks for the damage that OpenCV decodes past. It also decodes what OpenCV
cannot decode faithfully: see `_decoded`.

Samples keep the values that the file stores: colour profiles are not applied and EXIF orientation is ignored, because
benchmark sets are compared pixel by pixel.
"""

import contextlib
import io
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from esr.errors import DataError
from esr.images.pixels import ImageArray, check_image
from esr.images.png_chunks import pixels_only
from esr.system import files as atomic
from esr.text import one_line

_FORMATS = ("PNG", "BMP", "JPEG", "TIFF", "WEBP")
_MODES = frozenset({"1", "L", "P", "RGB"})  # widened to 8-bit RGB without loss, alpha apart
_PNG_DEPTH_AT = 24  # offset: signature 8, chunk length and type 8, width and height 8
_BMP_DEPTH_AT = 28  # offset: file header 14, header size 4, width and height 8, planes 2
_TIFF_BITS_PER_SAMPLE, _TIFF_ORIENTATION = 258, 274
_MOST_BYTES = 1 << 30  # of a file; no image of the size that is read has as many
_RESAVE = "save it as an 8-bit RGB PNG"

_warning_filters = threading.Lock()  # the filters are global to the process

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # an unreadable file ends in one line, ours


def read_rgb(path: str | os.PathLike[str]) -> ImageArray:
    """Decodes a PNG, BMP, JPEG, TIFF or WebP file into H×W×3 uint8 RGB.

    Grayscale and palette images are widened to RGB, and an alpha channel that is opaque everywhere is dropped. Refused
    is what cannot become 8-bit RGB without loss or a decision: more than 8 bits per channel, transparency, CMYK and
    other colour spaces, several frames, TIFFs stored rotated.

    Raises:
        DataError: The file is missing, not an image, damaged, too large, or of a refused kind.
    """
    content = _content(path)
    with _opened(path, content) as image:
        _refuse_damaged(image)
    with _opened(path, content) as image:
        _refuse_lossy(path, image, content)
        if image.has_transparency_data:
            rgba = np.array(image.convert("RGBA"), dtype=np.uint8)
            if rgba[..., 3].min() < 255:  # noqa: PLR2004 - opaque, in uint8
                raise DataError(f"{path} has transparent pixels; flatten it onto a background and {_RESAVE}")
            return np.ascontiguousarray(rgba[..., :3])
        return _decoded(image, content)


def size_of(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Height and width in an image file's header; `None` where it has no sound one."""
    try:
        with _opened(path, _content(path)) as image:
            return image.height, image.width
    except DataError:
        return None


def write_png(path: str | os.PathLike[str], image: ImageArray) -> None:
    """Writes an RGB or luma image as PNG, atomically; creates the folder if needed.

    Raises:
        DataError: `image` is not a uint8 image, or the file cannot be written.
    """
    content = encode_png(image)
    try:
        atomic.replace(Path(path), content)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


def encode_png(image: ImageArray) -> bytes:
    """The content of a PNG file that holds an RGB (H×W×3) or luma (H×W) image.

    Raises:
        DataError: `image` is not a uint8 image.
    """
    check_image(image, luma_too=True)
    bgr = np.ascontiguousarray(image[..., ::-1] if image.ndim == 3 else image)  # noqa: PLR2004 - H×W×3
    _, encoded = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return encoded.tobytes()


def _content(path: str | os.PathLike[str]) -> bytes:
    """The file's bytes, of a PNG only those that determine its pixels."""
    target = Path(path)
    try:
        if target.is_dir():
            raise DataError(f"{target} is a folder, not an image file")
        if not target.exists():
            raise DataError(f"{target} is not there; check the path")
        if not target.is_file():
            raise DataError(f"{target} is not a regular file; pass an image file")
        if target.stat().st_size == 0:
            raise DataError(f"{target} is empty; fetch or export it again")
        with target.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise DataError(f"{path} has more than {_MOST_BYTES >> 20} MiB, the most that is read; crop it")
        return pixels_only(content)
    except OSError as error:
        raise DataError(f"cannot read {target}: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}); fetch or export it again") from error


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str], content: bytes) -> Iterator[ImageFile.ImageFile]:
    """Reads the header of an image file; any failure in the block becomes a `DataError` that names the file."""
    try:
        with _warning_filters, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=_FORMATS)
        _refuse_rotated_tiff(path, image)
        yield image
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise DataError(f"{path} is no PNG, BMP, JPEG, TIFF or WebP image, or its header is damaged") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise DataError(f"{path} claims more than {limit} megapixels, the most that is read; crop it") from error
    except Exception as error:  # a damaged file makes a decoder raise nearly anything
        why = one_line(str(error)) or type(error).__name__
        raise DataError(f"{path} is damaged ({why}); fetch or export it again") from error


def _refuse_rotated_tiff(path: str | os.PathLike[str], image: ImageFile.ImageFile) -> None:
    """Refuses a rotated TIFF: decoders turn it upright, so its stored pixels are out of reach."""
    orientation = image.getexif().get(_TIFF_ORIENTATION, 1) if image.format == "TIFF" else 1
    if orientation != 1:
        raise DataError(f"{path} is stored rotated (TIFF orientation {orientation}); {_RESAVE}, upright")


def _refuse_damaged(image: ImageFile.ImageFile) -> None:
    """Raises for damage that OpenCV decodes past: wrong checksums in a PNG, gray areas in a broken JPEG."""
    if image.format in {"JPEG", "MPO"}:
        image.draft(None, (1, 1))  # at an eighth of its size: the whole stream, at little cost
        image.load()
    else:
        image.verify()


def _refuse_lossy(path: str | os.PathLike[str], image: ImageFile.ImageFile, content: bytes) -> None:
    bits = _bits_per_channel(image, content)
    if bits > 8:  # noqa: PLR2004 - bits of a uint8
        raise DataError(f"{path} has {bits} bits per channel; {_RESAVE}")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # in a camera's JPEG, the other frames are previews
        raise DataError(f"{path} holds {frames} frames; save the one you mean as an 8-bit RGB PNG")
    if image.mode not in _MODES and not image.has_transparency_data:
        raise DataError(f"{path} is {image.mode}, not RGB; convert it and {_RESAVE}")


def _bits_per_channel(image: ImageFile.ImageFile, content: bytes) -> int:
    """Bits in the file; Pillow's mode does not tell 16-bit RGB from 8-bit."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(max(image.tag_v2.get(_TIFF_BITS_PER_SAMPLE, (1,))))
    return content[_PNG_DEPTH_AT] if image.format == "PNG" else 8


def _decoded(image: ImageFile.ImageFile, content: bytes) -> ImageArray:
    """Pixels by OpenCV, or by Pillow where OpenCV is not faithful or gives up.

    OpenCV accepts damaged TIFF strips, lacks some TIFF compressions (Zstandard, LZMA), and stretches the 5 bits per
    channel of a 16-bit BMP to 248 only. Where it gives up, Pillow says why.
    """
    if image.format != "TIFF" and not (image.format == "BMP" and content[_BMP_DEPTH_AT] == 16):  # noqa: PLR2004
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
        if pixels is not None and pixels.shape[:2] == (image.height, image.width):
            return pixels.astype(np.uint8, copy=False)
    return np.array(image.convert("RGB"), dtype=np.uint8)
