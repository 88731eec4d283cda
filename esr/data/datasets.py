"""Data sets: LR images with their HR counterparts, found, paired and decoded once before anything is measured.

`load_dataset` raises for every problem that the images could cause later, then returns lazy pairs, so that a set of any
size takes the memory of a few images. `esr.data.layouts` finds the files, `esr.data.pairing` pairs them.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from esr.config.schema import SCALE, DataConf
from esr.config.terms import LrOrigin
from esr.data.layouts import Found, Skipped, find_files
from esr.data.pairing import PairFiles, paired
from esr.errors import ConfigError, DataError
from esr.images.bicubic import bicubic_downscale
from esr.images.files import read_rgb
from esr.images.pixels import ImageArray, crop_to_multiple, describe_size
from esr.images.quality import SSIM_WINDOW

DEMO = ("astronaut", "chelsea", "coffee", "rocket")
"""HR photographs in the package's folder `demo`, with sources and licences in its `LICENCES.md`."""

_READERS = min(8, os.cpu_count() or 1)  # decoding releases the interpreter's lock


@dataclass(frozen=True)
class ImagePair:
    """One LR image and its HR, if there is one; every call decodes the file again."""

    name: str
    """File name without suffix and without LR or HR mark."""
    lr_shape: tuple[int, int]
    """Height and width of LR, in pixels."""
    lr_sha256: str
    """SHA-256 of LR's raw pixels, row-major RGB; it does not depend on the file format."""
    lr_file: Path
    """HR's own file where LR is made from it."""
    hr_file: Path | None

    def lr(self) -> ImageArray:
        """LR, H×W×3 uint8.

        Raises:
            DataError: The file has become unreadable since the data set was loaded.
        """
        return bicubic_downscale(self.hr()) if self.lr_file == self.hr_file else read_rgb(self.lr_file)

    def hr(self) -> ImageArray:
        """HR, 4H×4W×3 uint8, cropped to the multiple of 4 that belongs to LR.

        Raises:
            DataError: There is no HR, or the file has become unreadable since the data set was loaded.
        """
        if self.hr_file is None:
            raise DataError(f"{self.name} has no HR image, so its quality cannot be measured")
        return _read_cropped(self.hr_file)


@dataclass(frozen=True)
class Dataset:
    """Pairs in the natural order of their names; all have HR or none has."""

    name: str
    pairs: tuple[ImagePair, ...]
    lr_origin: LrOrigin
    lr_folder: str | None = None
    """Folder of given LR images, relative to the set's root or as configured."""
    skipped: tuple[Skipped, ...] = ()
    """Images beside the set's that are not part of it."""
    complete: int | None = None
    """Number of images of the whole set, where it is known."""

    @property
    def has_hr(self) -> bool:
        """True if quality can be measured."""
        return self.pairs[0].hr_file is not None


def find_images(conf: DataConf) -> Found:
    """Finds the images that `conf` describes.

    Without `data.root`, `data.hr` and `data.lr`, a set is looked for below `esr.data.layouts.data_home()`.

    Raises:
        ConfigError: The demo is given a folder.
        DataError: The set is missing or empty.
    """
    return Found(_demo_files(conf)) if conf.kind == "demo" else find_files(conf)


def load_dataset(conf: DataConf, border: int = 4, found: Found | None = None) -> Dataset:
    """Pairs and decodes the images that `conf` describes.

    Args:
        conf: The data set.
        border: Pixels cut at each side before quality is measured; HR has to be large enough for it.
        found: Its files; `None`: they are looked for.

    Raises:
        ConfigError: The demo is given a folder.
        DataError: The set is missing or empty, its files do not pair, or an image is unreadable, of the wrong
            size or too small to measure.
    """
    found = found or find_images(conf)
    sources = sorted(paired(found), key=lambda source: _natural(source.name))[: conf.limit]
    made: LrOrigin = "bundled" if conf.kind == "demo" else "bicubic"
    origin: LrOrigin = "files" if found.lr else made
    whole = conf.images if conf.limit is None else None
    return Dataset(conf.name, _check_all(sources, border), origin, found.lr_folder, found.skipped, whole)


def _check_all(sources: Sequence[PairFiles], border: int) -> tuple[ImagePair, ...]:
    with ThreadPoolExecutor(_READERS) as pool:
        checks = [pool.submit(_checked, source, border) for source in sources]
    problems = [error for check in checks if isinstance(error := check.exception(), DataError)]
    if problems:
        more = f" ({len(problems) - 1} more of {len(sources)} images have problems)" if problems[1:] else ""
        raise DataError(f"{problems[0]}{more}") from problems[0]
    return tuple(check.result() for check in checks)


def _checked(source: PairFiles, border: int) -> ImagePair:
    hr = _read_cropped(source.hr) if source.hr else None
    lr = bicubic_downscale(hr) if hr is not None and source.lr == source.hr else read_rgb(source.lr)
    if hr is not None:
        _check_sizes(source.name, lr, hr, border)
    digest = hashlib.sha256(lr.tobytes()).hexdigest()
    return ImagePair(source.name, (lr.shape[0], lr.shape[1]), digest, source.lr, source.hr)


def _check_sizes(name: str, lr: ImageArray, hr: ImageArray, border: int) -> None:
    needed = (SCALE * lr.shape[0], SCALE * lr.shape[1])
    if hr.shape[:2] != needed:
        raise DataError(
            f"{name}: LR of {describe_size(lr.shape)} px belongs to HR of {describe_size(needed)} px, but HR is "
            f"{describe_size(hr.shape)} px (cropped to multiples of {SCALE}); pair LR with the HR it was made from"
        )
    least = 2 * border + SSIM_WINDOW
    if min(needed) < least:
        raise DataError(
            f"{name}: HR of {describe_size(hr.shape)} px is too small to measure, a border of {border} px takes "
            f"{least}×{least}; leave the image out"
        )


def _read_cropped(path: Path) -> ImageArray:
    image = read_rgb(path)
    try:
        return crop_to_multiple(image)
    except DataError as error:
        raise DataError(f"{path}: {error}; leave the image out") from error


def _demo_files(conf: DataConf) -> list[Path]:
    given = [key for key in ("root", "hr", "lr") if getattr(conf, key)]
    if given:
        raise ConfigError(f"data.{given[0]}={getattr(conf, given[0])}: the demo takes no folder; add data=folder")
    images = [Path(str(files("esr.data") / "demo" / f"{name}.png")) for name in DEMO]
    for path in images:
        if not path.is_file():
            raise DataError(
                f"this installation lacks {path}, a demo image; reinstall esr, or pass data=folder data.root=FOLDER"
            )
    return images


def _natural(name: str) -> tuple[list[str | int], str]:
    """A sort key that puts `img2` before `img10`."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name
