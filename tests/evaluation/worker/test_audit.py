"""Findings of a watched pass."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from esr.evaluation.worker.audit import inspect
from esr.networks import devices


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
        lr = torch.rand(1, 3, height, width)
        with torch.inference_mode():
            _, found = inspect(network, lr, lambda lr=lr: network(lr), devices.read_settings())
        assert found.fixed == fusing
        assert found.macs == fusing + height * width * 48 * 3 * 9
