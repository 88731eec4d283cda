"""In which order networks and images take their turns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

ALTERED = 0.5
"""Share of timed passes whose input has never been seen before: remembering an image gains nothing on them."""
VERIFIED = 0.25
"""Share of turns in which an altered input's output is checked, which costs another pass."""
_ALTERATIONS = 2**31


@dataclass(frozen=True)
class Pass:
    """One forward pass: an image as it is, or altered in a way that follows from a seed."""

    image: int
    alteration: int | None = None


@dataclass(frozen=True)
class Chunk:
    """A few passes that each network runs in a row, one network after the other."""

    round: int
    order: tuple[int, ...]
    """The networks, by who runs first."""
    passes: tuple[Pass, ...]
    check: int | None
    """Position in `passes` whose output is held against an untimed pass over the same input."""


def rounds(networks: int, image_seconds: Sequence[float], block_s: float, seed: int) -> Iterator[list[Chunk]]:
    """The turns of one round after another, without end.

    In each round each network runs once over every image. The images' order is shuffled per round and cut into
    chunks of about `block_s` seconds; over a chunk the networks take turns, in an order that is shuffled but
    balanced: of every two successive chunks each network leads one.

    Args:
        networks: 1 or 2.
        image_seconds: Expected duration of one pass over each image.
        block_s: Seconds of a turn; a single image may take longer.
        seed: Same seed, same turns.
    """
    random = np.random.default_rng(seed)
    leads: list[int] = []
    number = 0
    while True:
        order = [int(index) for index in random.permutation(len(image_seconds))]
        chunks = []
        for images in cut(order, image_seconds, block_s):
            if not leads:
                leads = [int(lead) for lead in random.permutation(networks)]
            lead = leads.pop()
            turns = tuple((lead + turn) % networks for turn in range(networks))
            passes = tuple(_pass(image, random) for image in images)
            chunks.append(Chunk(number, turns, passes, _check(passes, random)))
        yield chunks
        number += 1


def _pass(image: int, random: np.random.Generator) -> Pass:
    altered = random.random() < ALTERED
    return Pass(image, int(random.integers(_ALTERATIONS)) if altered else None)


def _check(passes: Sequence[Pass], random: np.random.Generator) -> int | None:
    verify = random.random() < VERIFIED
    suitable = [index for index, one in enumerate(passes) if (one.alteration is not None) == verify]
    return int(random.choice(suitable)) if suitable else None


def cut(order: Sequence[int], image_seconds: Sequence[float], block_s: float) -> list[list[int]]:
    """Cuts a sequence of images into chunks that take at most `block_s` seconds, or one image.

    >>> cut([2, 0, 1], [0.6, 0.5, 0.4], 1.0)
    [[2, 0], [1]]
    """
    chunks: list[list[int]] = []
    spent = float("inf")
    for index in order:
        if spent + image_seconds[index] > block_s:
            chunks.append([])
            spent = 0.0
        chunks[-1].append(index)
        spent += image_seconds[index]
    return chunks
