"""Inputs that no memory answers, and the HR that belongs to them.

An altered input blends an image with another one of the set (or with itself), each shifted around its borders and
flipped at random, and adds noise. Shifts by whole LR pixels, flips and blends commute with downscaling, so the HR that
belongs to it is the same blend of the HR images; the noise is the input's alone. A network has to respond to the
noise, of which no earlier input, nor any combination of earlier inputs, says anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Protocol, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from esr.config.schema import CHANNELS, SCALE
from esr.evaluation.worker.output_sample import Positions
from esr.images.pixels import ImageArray
from esr.timing.schedule import Pass

Values: TypeAlias = npt.NDArray[np.float32]
"""Grey levels, 0 to 255, not rounded."""

_LEAST_BLEND = 0.15
"""Least weight of the second image."""
_MOST_BLEND = 0.35
_NOISE = 3
"""The noise is uniform from 0 to this, minus its mean."""
_FRESH = 2**62
"""First seed of alterations that no schedule draws."""
_HELD_BYTES = 512 * 2**20
"""HR images held in memory; passes over others are not compared with HR."""


class Pair(Protocol):
    """An LR image and its HR, decoded at each call."""

    @property
    def lr_shape(self) -> tuple[int, int]:
        """Height and width of LR."""

    @property
    def hr_file(self) -> object | None:
        """`None` without HR."""

    def lr(self) -> ImageArray:
        """H×W×3."""

    def hr(self) -> ImageArray:
        """4H×4W×3."""


@dataclass(frozen=True)
class Blended:
    """One image of a blend: its rows and columns are taken in another order."""

    image: int
    rows: npt.NDArray[np.int64]
    """LR row that stands in each row of the input."""
    columns: npt.NDArray[np.int64]
    flipped: tuple[bool, bool]
    """Rows and columns run backwards, also within an LR pixel."""


@dataclass(frozen=True)
class Recipe:
    """An altered input: `1 − weight` of the first layer, `weight` of the second, and noise."""

    layers: tuple[Blended, ...]
    weight: float
    noise: int
    """Its seed."""


class Inputs:
    """The images of a data set, altered or not, as the parent holds them."""

    def __init__(self, pairs: Sequence[Pair], secret: int) -> None:
        """Decodes nothing yet.

        Args:
            pairs: The data set.
            secret: Unknown to the workers; alterations and the choice of HR images that are held follow from it.
        """
        self._pairs = pairs
        self._secret = secret
        self._lr: dict[int, ImageArray] = {}
        self._hr: dict[int, ImageArray] = {}
        self._held = self._choose_held()
        self._next = count(_FRESH)

    def fresh(self, image: int) -> Pass:
        """A pass over a new alteration of an image."""
        return Pass(image, next(self._next))

    def _choose_held(self) -> set[int]:
        order = np.random.default_rng([self._secret, 1]).permutation(len(self._pairs))
        held: set[int] = set()
        left = _HELD_BYTES
        for image in map(int, order):
            height, width = self._pairs[image].lr_shape
            left -= CHANNELS * SCALE * SCALE * height * width
            if self._pairs[image].hr_file is not None and left >= 0:
                held.add(image)
        return held

    def lr(self, one: Pass) -> ImageArray:
        """The input of a pass, H×W×3."""
        if one.alteration is None:
            return self._plain(one.image)
        recipe = self.recipe(one)
        first, second = (self._layer(layer) for layer in recipe.layers)
        random = np.random.default_rng(recipe.noise)
        noise = np.frombuffer(random.bytes(first.size), np.uint8).reshape(first.shape) & np.uint8(_NOISE)
        blend = cv2.addWeighted(first, 1 - recipe.weight, second, recipe.weight, -_NOISE / 2)
        return np.asarray(cv2.add(blend, noise), np.uint8)

    def recipe(self, one: Pass) -> Recipe:
        """The alteration of a pass; it follows from its seed and the secret."""
        if one.alteration is None:
            raise ValueError("an input that is not altered")
        random = np.random.default_rng([self._secret, one.alteration])
        others = sorted(self._held) or range(len(self._pairs))
        other = int(random.choice(others))
        shape = self._pairs[one.image].lr_shape
        layers = tuple(self._drawn(image, shape, random) for image in (one.image, other))
        return Recipe(layers, float(random.uniform(_LEAST_BLEND, _MOST_BLEND)), int(random.integers(2**62)))

    def _drawn(self, image: int, shape: tuple[int, int], random: np.random.Generator) -> Blended:
        flips = random.random(2) < 0.5  # noqa: PLR2004 - even odds
        order = []
        for wanted, there, flip in zip(shape, self._pairs[image].lr_shape, flips, strict=True):
            index = (np.arange(wanted) + int(random.integers(there))) % there
            order.append(there - 1 - index if flip else index)
        return Blended(image, order[0], order[1], (bool(flips[0]), bool(flips[1])))

    def _layer(self, layer: Blended) -> ImageArray:
        return np.take(np.take(self._plain(layer.image), layer.rows, 0), layer.columns, 1)

    def _plain(self, image: int) -> ImageArray:
        if image not in self._lr:
            self._lr[image] = self._pairs[image].lr()
        return self._lr[image]

    def hold_hr(self, image: int, hr: ImageArray) -> None:
        """Keeps a decoded HR image, if it is among those to be held."""
        if image in self._held:
            self._hr[image] = hr

    def truth(self, one: Pass, where: Positions) -> Values | None:
        """Grey levels of the HR that belongs to a pass's input, at some positions; `None` where it is not held."""
        if one.alteration is None:
            hr = self._hr.get(one.image)
            return None if hr is None else hr.reshape(-1)[where].astype(np.float32)
        recipe = self.recipe(one)
        if any(layer.image not in self._hr for layer in recipe.layers):
            return None
        width = SCALE * self._pairs[one.image].lr_shape[1]
        pixel, channel = np.divmod(where, CHANNELS)
        row, column = np.divmod(pixel, width)
        first, second = (
            self._hr[layer.image][
                _finer(row, layer.rows, layer.flipped[0]), _finer(column, layer.columns, layer.flipped[1]), channel
            ]
            for layer in recipe.layers
        )
        return np.asarray((1 - recipe.weight) * first + recipe.weight * second, np.float32)

    def nearest(self, lr: ImageArray, where: Positions) -> Values:
        """Grey levels of an input's own pixel at positions of its SR: the plainest upscaling there is."""
        width = SCALE * lr.shape[1]
        pixel, channel = np.divmod(where, CHANNELS)
        row, column = np.divmod(pixel, width)
        return np.asarray(lr[row // SCALE, column // SCALE, channel], np.float32)


def _finer(index: Positions, order: npt.NDArray[np.int64], flipped: bool) -> Positions:
    """HR rows (or columns) that stand at some rows, given the LR rows' order."""
    coarse, within = np.divmod(index, SCALE)
    return np.asarray(SCALE * order[coarse] + (SCALE - 1 - within if flipped else within), np.int64)
