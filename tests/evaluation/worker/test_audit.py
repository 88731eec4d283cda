"""Findings of a watched pass."""

import gc
import weakref

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from esr.evaluation.worker.audit import inspect
from esr.evaluation.worker.messages import InspectAnswer
from esr.networks import devices


class Fusing(nn.Module):
    """Makes its one convolution of two in every pass."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.rand(48, 8, 3, 3))
        self.second = nn.Parameter(torch.rand(3, 8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(F.conv2d(x, F.conv2d(self.first, self.second), padding=1), 4)


class Keeping(Fusing):
    """Holds a tensor that the collector does not list, and leaves another as garbage."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = [torch.rand(48, 3, 3, 3)]
        self.left: list[weakref.ref[Tensor]] = []
        gc.freeze()

    def forward(self, x: Tensor) -> Tensor:
        cycle: list[object] = [garbage := torch.rand(9)]
        cycle.append(cycle)
        self.left.append(weakref.ref(garbage))
        return F.pixel_shuffle(F.conv2d(x, self.hidden[0], padding=1), 4)


def watch(network: nn.Module) -> InspectAnswer:
    lr = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        return inspect(network, lr, lambda: network(lr), devices.read_settings())[1]


def test_what_was_imported_stays_apart_from_what_is_collected() -> None:
    gc.collect()
    gc.freeze()  # as a worker does
    try:
        imported = gc.get_freeze_count()
        network = Keeping()
        assert [watch(network).hidden for _ in range(2)] == [network.hidden[0].numel()] * 2
        assert gc.get_freeze_count() > 0.9 * imported
        gc.collect()
        assert [reference() for reference in network.left] == [None, None]
    finally:
        gc.unfreeze()


def test_work_that_does_not_depend_on_the_input_is_told_apart() -> None:
    network, fusing = Fusing(), 48 * 3 * 3 * 3 * 8
    for height, width in ((8, 8), (9, 16)):
        lr = torch.rand(1, 3, height, width)
        with torch.inference_mode():
            _, found = inspect(network, lr, lambda lr=lr: network(lr), devices.read_settings())
        assert found.fixed == fusing
        assert found.macs == fusing + height * width * 48 * 3 * 9
