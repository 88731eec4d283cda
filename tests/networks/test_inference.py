"""From 8-bit LR to 8-bit SR: range, rounding and tiles."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from esr.config.schema import TileConf
from esr.config.tiles import tile_starts
from esr.networks.inference import forward, to_image, to_tensor


class Nearest(nn.Module):
    """Every pixel four times over: the same in tiles as whole."""

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(4, -1).repeat_interleave(4, -2)


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_an_image_comes_back_as_it_was(data_range: float) -> None:
    image = np.arange(256 * 3, dtype=np.uint16).reshape(16, 16, 3).astype(np.uint8)
    tensor = to_tensor(image, data_range)
    assert tensor.shape == (1, 3, 16, 16)
    assert float(tensor.max()) == data_range
    assert (to_image(tensor, data_range) == image).all()


def test_output_is_clamped_and_rounded_half_to_even() -> None:
    values = torch.tensor([-9.0, 0.5, 1.5, 2.5, 254.6, 300.0]).reshape(1, 1, 1, 6).repeat(1, 3, 1, 1)
    assert to_image(values, 255.0)[0, :, 0].tolist() == [0, 0, 2, 2, 255, 255]


@given(height=st.integers(1, 60), width=st.integers(1, 60), size=st.integers(2, 40), overlap=st.integers(0, 20))
def test_tiles_give_what_the_whole_image_gives(height: int, width: int, size: int, overlap: int) -> None:
    lr = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    tiled = forward(Nearest(), lr, TileConf(size, min(overlap, size // 2)))
    torch.testing.assert_close(tiled, forward(Nearest(), lr))


@given(length=st.integers(1, 500), side=st.integers(1, 300), overlap=st.integers(0, 64))
def test_tiles_cover_every_pixel_and_stay_inside(length: int, side: int, overlap: int) -> None:
    side = min(side, length)
    starts = tile_starts(length, side, overlap)
    covered = {pixel for start in starts for pixel in range(start, start + side)}
    assert covered == set(range(length))
