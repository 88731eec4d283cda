"""Overlapping tiles of an image, as the challenges' scripts lay them."""

from collections.abc import Sequence

from esr.config.schema import TileConf


def tile_starts(length: int, side: int, overlap: int) -> list[int]:
    """First pixels of tiles of `side` pixels along `length` pixels.

    >>> tile_starts(600, side=256, overlap=32)
    [0, 224, 344]
    >>> tile_starts(100, side=100, overlap=32)
    [0]
    >>> tile_starts(86, side=57, overlap=32)
    [0, 25, 29]
    """
    # The challenge's stride; for an image narrower than the overlap, half a tile.
    stride = side - (overlap if overlap < side else side // 2)
    return [*range(0, length - side, stride), length - side]


def enlargement(shape: Sequence[int], tile: TileConf) -> float:
    """Pixels in all tiles of an image, whose height and width end `shape`, over the image's own.

    >>> enlargement((80, 40), TileConf(256, 20)), enlargement((64, 64), TileConf(256)), enlargement((9, 8), TileConf())
    (1.5, 1.0, 1.0)
    """
    if tile.size is None:
        return 1.0
    height, width = shape[-2:]
    side = min(tile.size, height, width)
    tiles = len(tile_starts(height, side, tile.overlap)) * len(tile_starts(width, side, tile.overlap))
    return tiles * side * side / (height * width)
