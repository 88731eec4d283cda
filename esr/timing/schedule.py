"""In which order networks and images take their turns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Block:
    """One network's turn: a few images in a row, without the other network between them."""

    round: int
    network: int
    images: tuple[int, ...]
    check: int
    """The image whose timed output is compared with the quality pass."""


def plan(
    rounds: int, networks: int, image_seconds: Sequence[float], block_s: float, seed: int
) -> list[Block]:
    """Every turn of every round.

    In each round each network runs once over every image. The images' order is shuffled per round and cut into
    chunks of about `block_s` seconds; over a chunk the networks take turns, in an order that is shuffled but
    balanced, so that each leads equally often (once more or less where the number of chunks is odd).

    Args:
        rounds: How many.
        networks: 1 or 2.
        image_seconds: Expected duration of one pass over each image.
        block_s: Seconds of a turn; a single image may take longer.
        seed: Same seed, same plan.
    """
    random = np.random.default_rng(seed)
    chunks: list[tuple[int, list[int]]] = []
    for number in range(rounds):
        order = [int(index) for index in random.permutation(len(image_seconds))]
        chunks += [(number, images) for images in cut(order, image_seconds, block_s)]
    leads = random.permutation([position % networks for position in range(len(chunks))])
    blocks = []
    for (number, images), lead in zip(chunks, leads, strict=True):
        for turn in range(networks):
            check = images[int(random.integers(len(images)))]
            blocks.append(Block(number, (int(lead) + turn) % networks, tuple(images), check))
    return blocks


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
