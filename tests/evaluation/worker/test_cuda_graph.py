"""Passes that are captured and replayed, in a worker on a simulated GPU."""

import numpy as np
import pytest
import torch
from helpers.cuda_stub.simulated_cuda import Script, simulated
from torch import nn

from esr.config.schema import ModelConf
from esr.evaluation.worker.child import Child
from esr.evaluation.worker.messages import PassAnswer, PassRequest
from esr.networks.devices import open_device

LAUNCHED_MS, REPLAYED_MS = 4.1, 0.4
"""Of four operators: the host launches each in a millisecond, and the GPU runs it in a tenth of one."""
WIDE, SQUARE = (8, 16), (8, 8)


class Picky(nn.Module):
    """Waits for a result in the middle of a pass over a square image, which no capture allows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x.relu().neg().abs()
        if x.shape[2] == x.shape[3]:
            y.sum().item()
        return nn.functional.interpolate(y, scale_factor=4, mode="nearest")


@pytest.fixture
def child():
    with simulated(Script(kernel_us=100, host_us=1000, launch_us=0), {}), torch.inference_mode():
        worker = Child()
        worker.device, worker.model, worker.network = open_device("cuda"), ModelConf(_target_="x"), Picky()
        yield worker


def timed(child: Child, *shapes: tuple[int, int]) -> list[PassAnswer]:
    return [child.handle(PassRequest(np.full((*shape, 3), 9, np.uint8), 0)) for shape in shapes]


def test_the_second_pass_over_a_shape_is_a_replay(child):
    child.captures = True
    first, second, third = timed(child, WIDE, WIDE, WIDE)
    assert first.duration.ms == pytest.approx(LAUNCHED_MS, abs=0.05)
    assert [one.duration.ms for one in (second, third)] == pytest.approx([REPLAYED_MS] * 2, abs=0.05)
    assert {one.uncaptured for one in (first, second, third)} == {None}


def test_nothing_is_captured_that_was_not_asked_for(child):
    child.captures = False
    assert [one.duration.ms for one in timed(child, WIDE, WIDE)] == pytest.approx([LAUNCHED_MS] * 2, abs=0.05)
    assert child.graphs == {}


def test_where_one_shape_cannot_be_captured_all_are_timed_as_usual(child):
    child.captures = True
    *_, replayed, refused, later = timed(child, WIDE, SQUARE, WIDE, SQUARE, WIDE)
    assert replayed.duration.ms == pytest.approx(REPLAYED_MS, abs=0.05)
    assert "operation not permitted when stream is capturing" in refused.uncaptured
    assert later.uncaptured == refused.uncaptured
    assert later.duration.ms == pytest.approx(LAUNCHED_MS, abs=0.05)
