"""The order in which networks and images are measured."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from esr.config.terms import ROLES, Role

_ALTERATIONS = 2**62
"""Seeds of alterations; others in the evaluation begin above."""


@dataclass(frozen=True)
class Pass:
    """One forward pass over an image, unchanged or altered."""

    image: int
    alteration: int | None = None
    """Seed of the alteration; `None`: the image unchanged."""


@dataclass(frozen=True)
class Chunk:
    """Passes that each network runs as one block, one network after the other."""

    round: int
    order: tuple[int, ...]
    """Indices of the networks; the first one leads."""
    passes: tuple[Pass, ...]


def order_of(seed: int, process: int) -> tuple[Role, Role]:
    """The network that starts, loads and warms up first in a process, and the other: random but balanced.

    >>> {order_of(7, 0), order_of(7, 1)} == {("candidate", "baseline"), ("baseline", "candidate")}
    True
    """
    candidate, baseline = ROLES
    swapped = (int(np.random.default_rng([seed, process // 2]).integers(2)) + process) % 2
    return (baseline, candidate) if swapped else (candidate, baseline)


def rounds(networks: int, image_seconds: Sequence[float], block_s: float, seed: int) -> Iterator[list[Chunk]]:
    """Yields the chunks of one round after another, without end.

    In each round, each network runs once over every image. The images are shuffled per round and cut into chunks of
    about `block_s` seconds. The network that leads a chunk is random but balanced: of every two successive chunks,
    each network leads one. No input comes twice, and none is an image of the set as it is.

    Args:
        networks: 1 or 2.
        image_seconds: Expected seconds of one pass over each image.
        block_s: Seconds of a block; a single image may take longer.
        seed: The same seed gives the same chunks.
    """
    random = np.random.default_rng(seed)
    leads: list[int] = []
    for number in count():
        order = random.permutation(len(image_seconds)).tolist()
        chunks = []
        for images in cut(order, image_seconds, block_s):
            if not leads:
                leads = random.permutation(networks).tolist()
            lead = leads.pop()
            turns = tuple((lead + turn) % networks for turn in range(networks))
            passes = tuple(Pass(image, int(random.integers(_ALTERATIONS))) for image in images)
            chunks.append(Chunk(number, turns, passes))
        yield chunks


def cut(order: Sequence[int], image_seconds: Sequence[float], block_s: float) -> list[list[int]]:
    """Cuts a sequence of images into chunks of at most `block_s` seconds, or of one image.

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
