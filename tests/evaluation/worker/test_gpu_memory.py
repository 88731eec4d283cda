"""Peak memory of passes on a simulated GPU, byte by byte."""

import numpy as np
import pytest
import torch
from helpers.cuda_stub.simulated_cuda import Script, simulated
from torch import nn

from esr.config.schema import ModelConf
from esr.evaluation.worker.child import Child
from esr.evaluation.worker.messages import PassRequest, PeakRequest, ResetMemoryRequest
from esr.networks.devices import open_device

FLOAT = 4
SHAPES = ((8, 16), (16, 16))


def expected(height: int, width: int) -> int:
    """Bytes of input and output; checking that output takes more."""
    return (3 + 48) * height * width * FLOAT


@pytest.mark.parametrize("images", [(0,), (1,), (0, 1), (1, 0)])
def test_the_peak_is_that_of_the_passes_alone(images):
    with simulated(Script(kernel_us=0), {}):
        child = Child()
        child.device = open_device("cuda")
        child.model = ModelConf(_target_="x")
        child.network = nn.Upsample(scale_factor=4)
        torch.zeros(1 << 20, device="cuda")  # as a constructor may allocate, and free
        with torch.inference_mode():
            child.handle(ResetMemoryRequest())
            for image in images:
                child.handle(PassRequest(np.zeros((*SHAPES[image], 3), np.uint8), 0))
            answer = child.handle(PeakRequest())
        assert answer.memory.memory_mib * 2**20 == max(expected(*SHAPES[image]) for image in images)
