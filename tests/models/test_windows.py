"""Attention within windows: who sees whom."""

import pytest
import torch
from torch import Tensor

from esr.models.blocks.windows import RelativePositionBias, WindowAttention, to_windows

CHANNELS, HEADS, WINDOW = 6, 2, 4
NOTHING = 1e-12
"""Largest influence, of order one elsewhere, that counts as none."""


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 8, 12, CHANNELS, generator=torch.Generator().manual_seed(0))


def attention(shift: int = 0) -> WindowAttention:
    torch.manual_seed(0)
    position = RelativePositionBias(WINDOW, HEADS)
    return WindowAttention(CHANNELS, HEADS, WINDOW, shift=shift, position=position).eval()


def seen_from(network: WindowAttention, x: Tensor, row: int, column: int) -> Tensor:
    """H×W: which pixels have an influence on one."""
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(x)[0, row, column].sum(), x)
    return gradient[0].abs().sum(dim=-1) > NOTHING


def test_each_head_weighs_values_by_the_softmax_of_scaled_products_and_positions(x: Tensor) -> None:
    network = attention()
    position = network.position
    assert position is not None
    windows = to_windows(x, WINDOW)
    heads = [part.chunk(HEADS, dim=-1) for part in network.qkv(windows).chunk(3, dim=-1)]
    weighed = []
    for (query, key, value), bias in zip(zip(*heads, strict=True), position()[0], strict=True):
        logits = query @ key.transpose(1, 2) / (CHANNELS / HEADS) ** 0.5 + bias
        weighed.append(logits.softmax(dim=-1) @ value)
    expected = network.project(torch.cat(weighed, dim=-1)) + windows
    torch.testing.assert_close(to_windows(network(x), WINDOW), expected)


def test_a_position_bias_depends_on_the_offset_alone() -> None:
    bias = RelativePositionBias(3, 1)()[0, 0]
    down, right = 3, 1
    assert bias[0, down] == bias[4, 4 + down]
    assert bias[0, right] == bias[4, 4 + right]
    assert bias[0, right] != bias[right, 0]


def test_a_pixel_sees_its_window_and_nothing_else(x: Tensor) -> None:
    expected = torch.zeros(8, 12, dtype=torch.bool)
    expected[4:8, 4:8] = True
    assert torch.equal(seen_from(attention(), x, 5, 6), expected)


def test_a_shift_moves_the_windows_down_and_right(x: Tensor) -> None:
    expected = torch.zeros(8, 12, dtype=torch.bool)
    expected[2:6, 6:10] = True
    assert torch.equal(seen_from(attention(shift=2), x, 5, 6), expected)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 11), (7, 0), (7, 11)])
def test_a_shift_lets_no_pixel_see_across_the_border(x: Tensor, row: int, column: int) -> None:
    expected = torch.zeros(8, 12, dtype=torch.bool)
    expected[slice(0, 2) if row == 0 else slice(6, 8), slice(0, 2) if column == 0 else slice(10, 12)] = True
    assert torch.equal(seen_from(attention(shift=2), x, row, column), expected)


def test_zeros_fill_windows_that_the_image_does_not(x: Tensor) -> None:
    network = attention()
    cut = x[:, :7, :9]
    padded = torch.nn.functional.pad(cut, (0, 0, 0, 3, 0, 1))
    torch.testing.assert_close(network(cut), network(padded)[:, :7, :9])
