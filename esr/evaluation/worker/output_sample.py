"""Positions at which outputs are sampled: few enough to move quickly, too many to compute alone."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

SAMPLED = 4096
"""Values in a sample; smaller outputs are sampled with as many values as they have."""

Positions: TypeAlias = npt.NDArray[np.int64]
"""Indices into an SR image, 4H×4W×3, as one row of values."""


def sample_size(values: int) -> int:
    """Number of values sampled of so many."""
    return min(SAMPLED, values)


def positions(values: int, seed: int) -> Positions:
    """Indices of a sample of so many values; they follow from the seed."""
    return np.random.default_rng(seed).integers(0, values, sample_size(values))
