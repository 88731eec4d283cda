"""Samples of SR images: few enough to move between processes, too many to guess."""

import numpy as np
import numpy.typing as npt

CHECKED_VALUES = 4096
"""Values in which a timed pass's output is compared with an untimed pass's."""


def positions(values: int, seed: int) -> npt.NDArray[np.int64]:
    """Indices of a sample of so many values, at most `CHECKED_VALUES`; they follow from the seed."""
    return np.random.default_rng(seed).integers(0, values, min(CHECKED_VALUES, values))


def sample(image: npt.NDArray[np.uint8], seed: int) -> npt.NDArray[np.uint8]:
    """Values of an image at `positions`."""
    flat = image.reshape(-1)
    return flat[positions(flat.size, seed)]
