"""Work outside PyTorch's dispatcher is found and named; ordinary networks stay silent."""

import ctypes
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.counted import CONVOLVING_MACS, PIXELS, SIZE, Convolving
from torch import Tensor, nn

from esr.complexity import measure
from esr.complexity.flow import OUTSIDE


def address(tensor: Tensor) -> int:
    """The address as an extension gets it, which asks no method of the tensor."""
    return tensor.untyped_storage().data_ptr()


class SpanAttention:
    """Like a compiled extension: allocates by the dispatcher, and writes by itself."""

    def kernel(self, features: Tensor) -> Tensor:
        if features.is_meta:
            raise RuntimeError("expected a tensor on the device")
        result = torch.empty_like(features)
        ctypes.memmove(address(result), address(features), features.numel() * features.element_size())
        return result


def borrowed(features: Tensor) -> Tensor:
    """Through memory that PyTorch did not allocate."""
    return torch.from_numpy(np.ones(features.shape, np.float32)) + 1


def via_numpy(features: Tensor) -> Tensor:
    return torch.tensor(np.tanh(features.numpy()))


def via_array(features: Tensor) -> Tensor:
    return torch.tensor(np.asarray(features) * 2)


def via_address(features: Tensor) -> Tensor:
    result = torch.zeros_like(features)
    ctypes.memmove(result.data_ptr(), features.data_ptr(), features.numel() * 4)
    return result


def via_list(features: Tensor) -> Tensor:
    return torch.tensor(features.tolist())


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (SpanAttention().kernel, "SpanAttention.kernel"),
        (borrowed, "torch.from_numpy"),
        (via_numpy, "features.numpy"),
        (via_array, "np.asarray"),
        (via_address, "features.data_ptr"),
        (via_list, "features.tolist"),
    ],
)
def test_work_that_no_operator_did_is_named(function: Callable[[Tensor], Tensor], name: str) -> None:
    counted = measure(Convolving(lambda features: function(features) + 1), SIZE, SIZE)

    assert [found.removesuffix(OUTSIDE) for found in counted.without_formula] == [name]
    assert all(found.endswith(OUTSIDE) for found in counted.without_formula)
    assert counted.macs == CONVOLVING_MACS


class Lost(nn.Module):
    """What a compiled extension computes from the convolution is all that the last one sees."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.last = nn.Conv2d(3, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        result = torch.empty_like(image)
        features = self.conv(image)
        if features.is_meta:
            raise RuntimeError("expected a tensor on the device")
        ctypes.memmove(address(result), address(features), 4 * features.numel())
        output: Tensor = self.last(result)
        return output


def test_what_lies_in_front_of_such_work_is_lost_to_fvcore_and_not_to_macs() -> None:
    counted = measure(Lost(), SIZE, SIZE)
    assert counted.flops_fvcore == PIXELS * 9
    assert counted.macs == PIXELS * (81 + 9)
    assert list(counted.without_formula) == ["Lost.forward" + OUTSIDE]


def test_a_result_that_nobody_wrote_is_named() -> None:
    counted = measure(Convolving(SpanAttention().kernel), SIZE, SIZE)
    assert list(counted.without_formula) == ["SpanAttention.kernel" + OUTSIDE]


def test_an_output_that_no_operator_made_is_named() -> None:
    counted = measure(Convolving(lambda features: torch.from_dlpack(np.ones(features.shape))), SIZE, SIZE)
    assert list(counted.without_formula) == ["output" + OUTSIDE]


HELD = [torch.ones(4, 1, 1)]


def filled_in_parts(features: Tensor) -> Tensor:
    result = torch.empty(1, 8, SIZE, SIZE, device=features.device)
    result[:, :4] = features
    result[:, 4:].copy_(features)
    return result.relu_()


@pytest.mark.parametrize(
    "function",
    [
        filled_in_parts,
        lambda features: features.new_empty(features.shape).uniform_() + features,
        lambda features: torch.ones_like(torch.empty_like(features)) + features,
        lambda features: features + torch.tensor([1.0, 2.0, 3.0, 4.0], device=features.device).view(4, 1, 1),
        lambda features: features.cpu() + HELD[0],
        lambda features: torch.cat([features, features.new_empty(1, 0, SIZE, SIZE)], 1),
        lambda features: features * features.amax().item() if not features.is_meta else features,
        lambda features: F.pad(features, (1, 1, 1, 1), mode="reflect").unfold(2, 3, 1).contiguous(),
        lambda features: torch.mm(features[0, 0], features[0, 1], out=torch.empty_like(features[0, 0])),
        lambda features: torch.as_tensor(np.ones(4, np.float32)).to(features.device).view(4, 1, 1) + features,
    ],
)
def test_ordinary_code_is_silent(function: Callable[[Tensor], Tensor]) -> None:
    assert measure(Convolving(function), SIZE, SIZE).without_formula == {}
