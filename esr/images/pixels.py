"""Images as uint8 arrays: read, write, crop, luma, and the bicubic that made every published LR set.

An image is H×W×3, RGB, row-major; luma is H×W. Sample values are taken as the file stores them: colour
profiles are not applied and EXIF orientation is ignored, because benchmark sets are compared pixel by pixel.
"""

import contextlib
import io
import math
import os
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from esr.config.schema import SCALE
from esr.errors import DataError
from esr.system import files as atomic

ImageArray: TypeAlias = npt.NDArray[np.uint8]
"""H×W×3 (RGB) or H×W (luma), uint8."""

SUFFIXES = frozenset({".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"})
"""File names that count as images, in lower case."""

SSIM_WINDOW = 11
"""Side of SSIM's Gaussian window, in pixels: the least an image has to keep inside its border."""

_FORMATS = ("PNG", "BMP", "JPEG", "TIFF", "WEBP")
_MODES = frozenset({"1", "L", "P", "RGB"})  # what widens to 8-bit RGB without loss, alpha apart
_PNG_BIT_DEPTH_AT = 24  # signature 8, chunk length and type 8, width and height 8
_TIFF_BITS_PER_SAMPLE, _TIFF_ORIENTATION = 258, 274
_RESAVE = "save it as an 8-bit RGB PNG"

_warning_filters = threading.Lock()  # the filters are global to the process


def read_rgb(path: str | os.PathLike[str]) -> ImageArray:
    """Decodes a PNG, BMP, JPEG, TIFF or WebP file into H×W×3 uint8 RGB.

    Grayscale and palette images are widened to RGB, and an alpha channel that is opaque everywhere is
    dropped. What cannot become 8-bit RGB without loss or a decision is refused: more than 8 bits a channel,
    transparency, CMYK and other colour spaces, several frames, TIFFs stored rotated.

    Raises:
        DataError: The file is missing, not an image, damaged, too large, or of a refused kind.
    """
    with _decoder(path) as image:
        image.verify()  # Pillow decodes a PNG past wrong checksums and a missing end
    with _decoder(path) as image:
        _refuse_lossy(path, image)
        if not image.has_transparency_data:
            return np.array(image.convert("RGB"), dtype=np.uint8)
        rgba = np.array(image.convert("RGBA"), dtype=np.uint8)
    if rgba[..., 3].min() < 255:  # noqa: PLR2004 - opaque, in uint8
        raise DataError(f"{path} has transparent pixels; flatten it onto a background and {_RESAVE}")
    return np.ascontiguousarray(rgba[..., :3])


def write_png(path: str | os.PathLike[str], image: ImageArray) -> None:
    """Writes an RGB or luma image as PNG: all of it or nothing, into a folder that is made if need be.

    Raises:
        DataError: `image` is no uint8 image, or the file cannot be written.
    """
    check_image(image, luma_too=True)
    png = io.BytesIO()
    Image.fromarray(image).save(png, format="PNG")
    try:
        atomic.replace(Path(path), png.getvalue())
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


def check_image(image: ImageArray, *, luma_too: bool = False) -> None:
    """Refuses an array that is no uint8 image, before a computation goes wrong on it.

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
    """A shape as people write an image's size: width first.

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
    luma: ImageArray = np.rint((65.481 * red + 128.553 * green + 24.966 * blue) / 255.0 + 16.0).astype(
        np.uint8
    )
    return luma


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
    total = np.zeros((size, *image.shape[1:]))
    for tap in range(source.shape[1]):
        total += weights[:, tap, None, None] * image[source[:, tap]]
    return np.clip(np.floor(total + 0.5), 0, 255).astype(np.uint8)


def _taps(size_in: int, size_out: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """For each output sample, the input samples it is made of and their weights; both size_out×taps."""
    stretch = max(1.0, size_in / size_out)
    reach = 2 * stretch
    centre = (np.arange(size_out) + 0.5) * size_in / size_out - 0.5
    first = np.floor(centre - reach).astype(np.intp)
    position = first[:, None] + np.arange(math.ceil(2 * reach) + 2)
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


@contextlib.contextmanager
def _decoder(path: str | os.PathLike[str]) -> Iterator[ImageFile.ImageFile]:
    """Opens an image file; whatever goes wrong in the block is a `DataError` that names the file."""
    with _regular_file(path) as file:
        try:
            with _warning_filters, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                image = Image.open(file, formats=_FORMATS)
            _refuse_rotated_tiff(path, image)
            yield image
        except DataError:
            raise
        except UnidentifiedImageError as error:
            raise DataError(
                f"{path} is no PNG, BMP, JPEG, TIFF or WebP image, or its header is damaged"
            ) from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            limit = (Image.MAX_IMAGE_PIXELS or 0) // 10**6
            raise DataError(
                f"{path} claims more than {limit} megapixels, the most that is read; crop it"
            ) from error
        except Exception as error:  # a damaged file makes a decoder raise nearly anything
            why = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{path} is damaged ({why}); fetch or export it again") from error


def _regular_file(path: str | os.PathLike[str]) -> IO[bytes]:
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
        return target.open("rb")
    except OSError as error:
        raise DataError(f"cannot read {target}: {error.strerror or error}") from error


def _refuse_rotated_tiff(path: str | os.PathLike[str], image: ImageFile.ImageFile) -> None:
    """Pillow turns a TIFF upright while it decodes, so its stored pixels cannot be had."""
    orientation = image.getexif().get(_TIFF_ORIENTATION, 1) if image.format == "TIFF" else 1
    if orientation != 1:
        raise DataError(f"{path} is stored rotated (TIFF orientation {orientation}); {_RESAVE}, upright")


def _refuse_lossy(path: str | os.PathLike[str], image: ImageFile.ImageFile) -> None:
    bits = _bits_per_channel(image)
    if bits > 8:  # noqa: PLR2004 - bits of a uint8
        raise DataError(f"{path} has {bits} bits per channel; {_RESAVE}")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # in a camera's JPEG, the rest are previews
        raise DataError(f"{path} holds {frames} frames; save the one you mean as an 8-bit RGB PNG")
    if image.mode not in _MODES and not image.has_transparency_data:
        raise DataError(f"{path} is {image.mode}, not RGB; convert it and {_RESAVE}")


def _bits_per_channel(image: ImageFile.ImageFile) -> int:
    """Bits in the file: Pillow quietly halves 16-bit RGB, so its mode does not tell."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        stored = image.tag_v2.get(_TIFF_BITS_PER_SAMPLE, (1,))
        return int(max(stored))
    if image.format == "PNG" and image.fp is not None:
        before = image.fp.tell()
        image.fp.seek(_PNG_BIT_DEPTH_AT)
        depth = image.fp.read(1)[0]
        image.fp.seek(before)
        return int(depth)
    return 8
