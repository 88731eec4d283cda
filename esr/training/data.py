"""Training data: aligned LR and HR patches, cut at random from a folder of HR images.

LR is computed from each whole image once, by the bicubic downscaling of the published LR sets, and all images stay in
memory as uint8. A batch depends only on the seed and the step, so that a resumed run sees the same batches.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from esr.config.schema import SCALE
from esr.data.layouts import image_files
from esr.errors import DataError
from esr.images.bicubic import bicubic_downscale
from esr.images.files import read_rgb
from esr.images.pixels import ImageArray, crop_to_multiple, describe_size
from esr.system.files import expanded

_READERS = 4


@dataclass(frozen=True)
class TrainingPair:
    """An image at both scales, uint8: LR is H×W×3, HR 4H×4W×3."""

    name: str
    lr: ImageArray
    hr: ImageArray


def read_pairs(folder: str, key: str, least: int) -> list[TrainingPair]:
    """Reads every image directly in a folder, in the order of names, cropped to multiples of 4.

    Args:
        folder: HR images in any format that `esr` reads.
        key: Configuration key of the folder, for messages.
        least: Smallest LR side, in pixels.

    Raises:
        DataError: The folder is missing or holds no image, or an image is unreadable or too small.
    """
    files = image_files(expanded(folder), "pass a folder of HR images", f"{key}={folder}")
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(lambda file: _read_pair(file, key, least), files))


def _read_pair(file: Path, key: str, least: int) -> TrainingPair:
    hr = read_rgb(file)
    if min(hr.shape[:2]) < least * SCALE:
        needed = f"HR must be at least {least * SCALE}×{least * SCALE}; remove it or reduce the patch size"
        raise DataError(f"{file} of {describe_size(hr.shape)} px in {key} is too small: {needed}")
    hr = np.ascontiguousarray(crop_to_multiple(hr))
    return TrainingPair(file.name, bicubic_downscale(hr), hr)


def digest(pairs: Sequence[TrainingPair]) -> str:
    """SHA-256 over the shapes and pixels of all HR images in order."""
    sha256 = hashlib.sha256()
    for pair in pairs:
        sha256.update(repr(pair.hr.shape).encode())
        sha256.update(pair.hr.tobytes())
    return sha256.hexdigest()


class Patches:
    """Random batches of patches; every position in every image is equally likely.

    Args:
        pairs: Images, each with LR sides of at least `patch` pixels.
        batch: Patches per batch.
        patch: Side of a square LR patch, in pixels.
        seed: Determines, with the step, the batch.
    """

    def __init__(self, pairs: Sequence[TrainingPair], batch: int, patch: int, seed: int) -> None:
        self._pairs, self._batch, self._patch, self._seed = pairs, batch, patch, seed
        positions = [float(np.prod([side - patch + 1 for side in pair.lr.shape[:2]])) for pair in pairs]
        self._share = np.array(positions) / sum(positions)

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """LR and HR patches of one step, uint8: N×3×P×P and N×3×4P×4P."""
        random = np.random.default_rng([self._seed, step])
        chosen = random.choice(len(self._pairs), self._batch, p=self._share)
        cut = [random_patch(self._pairs[index], self._patch, random) for index in chosen]
        lr, hr = (torch.from_numpy(np.stack(side).transpose(0, 3, 1, 2)) for side in zip(*cut, strict=True))
        return lr, hr


def random_patch(pair: TrainingPair, patch: int, random: np.random.Generator) -> tuple[ImageArray, ImageArray]:
    """An LR patch, P×P×3, and its HR patch, 4P×4P×3, in one of the eight rotations and reflections."""
    top, left = (int(random.integers(side - patch + 1)) for side in pair.lr.shape[:2])
    turns, mirror = int(random.integers(4)), bool(random.integers(2))
    lr = pair.lr[top : top + patch, left : left + patch]
    top, left, size = SCALE * top, SCALE * left, SCALE * patch
    hr = pair.hr[top : top + size, left : left + size]
    step = -1 if mirror else 1
    return np.rot90(lr, turns)[:, ::step], np.rot90(hr, turns)[:, ::step]
