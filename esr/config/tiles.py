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


def count_tiles(shape: Sequence[int], tile: TileConf) -> int:
    """Number of tiles of an image whose height and width end `shape`; 1 for one that is taken whole.

    >>> count_tiles((80, 40), TileConf(256, 20)), count_tiles((64, 64), TileConf(256)), count_tiles((9, 8), TileConf())
    (3, 1, 1)
    """
    if tile.size is None:
        return 1
    height, width = shape[-2:]
    side = min(tile.size, height, width)
    return len(tile_starts(height, side, tile.overlap)) * len(tile_starts(width, side, tile.overlap))
