"""Networks that take multiples of a window alone."""

import copy

import pytest
import torch
from torch import Tensor, nn

from esr.networks.padding import multiple, pad_on_failure


class Window(nn.Module):
    """Takes multiples of 8; each pixel becomes 4x4."""

    def forward(self, lr: Tensor) -> Tensor:
        n, c, _height, width = lr.shape
        lr.reshape(n, c, -1, 8, width // 8, 8)
        return lr.repeat_interleave(4, 2).repeat_interleave(4, 3)


def test_a_size_that_fits_is_passed_as_it_is() -> None:
    network = Window()
    pad_on_failure(network)
    assert network(torch.rand(1, 3, 16, 24)).shape == (1, 3, 64, 96)
    assert multiple(network) is None


def test_others_are_padded_and_cropped_to_the_least_multiple_that_all_need() -> None:
    network = Window()
    pad_on_failure(network)
    for height, width, least in ((61, 47, 4), (60, 44, 8), (17, 16, 8)):
        lr = torch.rand(1, 3, height, width)
        expected = lr.repeat_interleave(4, 2).repeat_interleave(4, 3)
        assert torch.equal(network(lr), expected)
        assert multiple(network) == least


def test_a_copy_pads_by_itself() -> None:
    network = Window()
    network.scale = nn.Parameter(torch.ones(1))
    pad_on_failure(network)
    other = copy.deepcopy(network)
    other(torch.rand(1, 3, 9, 9))
    assert multiple(other) == 8
    assert multiple(network) is None
    assert other.forward.original.__self__ is other  # type: ignore[attr-defined]


def test_a_network_that_takes_no_size_fails_as_it_would() -> None:
    class Broken(nn.Module):
        def forward(self, lr: Tensor) -> Tensor:
            raise RuntimeError(f"not {lr.shape[-1]}")

    network = Broken()
    pad_on_failure(network)
    with pytest.raises(RuntimeError, match="not 9"):
        network(torch.rand(1, 3, 9, 9))
