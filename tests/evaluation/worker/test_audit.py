"""Findings of a watched pass."""

import torch
from helpers.watched import watch
from torch import Tensor, nn
from torch.nn import functional as F


class Fusing(nn.Module):
    """Makes its one convolution of two in every pass."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.rand(48, 8, 3, 3))
        self.second = nn.Parameter(torch.rand(3, 8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(F.conv2d(x, F.conv2d(self.first, self.second), padding=1), 4)


def test_work_that_does_not_depend_on_the_input_is_told_apart() -> None:
    network, fusing = Fusing(), 48 * 3 * 3 * 3 * 8
    for height, width in ((8, 8), (9, 16)):
        found = watch(network, torch.rand(1, 3, height, width)).found
        assert found.fixed == fusing
        assert found.macs == fusing + height * width * 48 * 3 * 9
