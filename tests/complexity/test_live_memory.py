"""The memory of one forward pass, with peaks worked out by hand."""

import gc
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esr.complexity import measure
from esr.records.network import LiveMemory

SIZE = 16
FLOAT = 4
PLANE = SIZE * SIZE * FLOAT
"""Bytes of one channel."""


def live_memory(network: nn.Module) -> LiveMemory:
    memory = measure(network, SIZE, SIZE).live_memory
    assert memory is not None
    return memory


def conv(channels: int, filters: int, kernel: int = 1, **kwargs: int) -> nn.Conv2d:
    return nn.Conv2d(channels, filters, kernel, bias=False, **kwargs)


class Steps(nn.Module):
    """Whatever a function does with an image, on the meta device or on values."""

    def __init__(self, function: Callable[[Tensor], object], *, on_values: bool = False) -> None:
        super().__init__()
        self.function = function
        self.on_values = on_values

    def forward(self, image: Tensor) -> object:
        if self.on_values:
            image[0, 0, 0, 0].item()
        return self.function(image)


def chain(image: Tensor) -> Tensor:
    """Each step may free the one before: two live at once."""
    return image.repeat(1, 2, 1, 1).exp().log().exp()


def held(image: Tensor) -> Tensor:
    """Two results stay in variables until the third is returned."""
    first = image + 1
    second = first + 1
    return second + 1


def in_place(image: Tensor) -> Tensor:
    return image.add(1).mul_(2).clamp_(0, 1).relu_()


def views(image: Tensor) -> Tensor:
    """Views allocate nothing and keep what they look at alive."""
    part = (image + 1)[:, :1]
    return part.transpose(2, 3).unsqueeze(0).expand(5, -1, -1, -1, -1)


def residual(image: Tensor) -> Tensor:
    """The skipped features, the body's output and the sum."""
    features = image + 1
    return features + features.exp().log()


def concatenated(image: Tensor) -> Tensor:
    return torch.cat([image + 1, image + 2], dim=1)


def into_a_buffer(image: Tensor) -> Tensor:
    result = image.new_empty(image.shape)
    return torch.add(image, 1, out=result)


def of_a_constant(image: Tensor) -> Tensor:
    """A fresh tensor of one plane, then the output."""
    return image * torch.ones(SIZE, SIZE, device=image.device)


@pytest.mark.parametrize("on_values", [False, True], ids=["meta", "values"])
@pytest.mark.parametrize(
    ("function", "planes"),
    [
        (chain, 6 + 6),
        (held, 3 + 3 + 3),
        (in_place, 3),
        (views, 3),
        (residual, 3 + 3 + 3),
        (concatenated, 3 + 3 + 6),
        (into_a_buffer, 3),
        (of_a_constant, 1 + 3),
        (lambda image: image, 0),
        (lambda image: image.view(-1), 0),
        (lambda image: F.pixel_shuffle(image.repeat(1, 4, 1, 1), 2), 12 + 12),
        (lambda image: F.interpolate(image, scale_factor=2), 12),
        (lambda image: F.interpolate(image, (32, 32), mode="bilinear"), 12),
        (lambda image: image.contiguous(), 0),
        (lambda image: image.transpose(2, 3).contiguous(), 3),
        (lambda image: F.max_pool2d(image, 2), 3 / 4 + 2 * 3 / 4),  # indices are int64
        (lambda image: F.scaled_dot_product_attention(image, image, image), 3),
    ],
)
def test_the_peak_is_what_lives_at_the_worst_moment(
    function: Callable[[Tensor], object], planes: float, on_values: bool
) -> None:
    memory = live_memory(Steps(function, on_values=on_values))

    assert memory == LiveMemory(weights=0, input=3 * PLANE, activations=int(planes * PLANE))


def test_weights_and_input_count_beside_the_activations() -> None:
    network = nn.Sequential(conv(3, 8), nn.ReLU(inplace=True), conv(8, 4))
    memory = live_memory(network)

    assert memory == LiveMemory(weights=(24 + 32) * FLOAT, input=3 * PLANE, activations=(8 + 4) * PLANE)
    assert (memory.weights, memory.input, memory.activations) == (224, 3072, 12288)
    assert memory.total == 15584


def test_an_activation_that_is_not_in_place_needs_memory_of_its_own() -> None:
    assert live_memory(nn.Sequential(conv(3, 8), nn.ReLU())).activations == 16 * PLANE


def test_a_shared_weight_and_a_buffer_count_once() -> None:
    network = nn.Sequential(conv(3, 3), conv(3, 3), nn.BatchNorm2d(3))
    network[1].weight = network[0].weight
    steps = 8  # BatchNorm's counter of batches, int64

    assert live_memory(network).weights == (9 + 4 * 3) * FLOAT + steps


def test_half_precision_needs_half_the_memory() -> None:
    network = nn.Sequential(conv(3, 8), nn.Conv2d(8, 3, 1))
    full, half = live_memory(network), live_memory(network.half())

    assert full.total == 2 * half.total


def test_a_list_of_results_lives_until_it_is_emptied() -> None:
    def kept(image: Tensor, *, empty: bool) -> Tensor:
        parts = [image + 1, image + 2]
        joined = torch.cat(parts, dim=1)
        if empty:
            parts.clear()
        return joined + 1

    assert live_memory(Steps(lambda i: kept(i, empty=False))).activations == (6 + 6 + 6) * PLANE
    assert live_memory(Steps(lambda i: kept(i, empty=True))).activations == (6 + 6) * PLANE


def test_cycles_of_references_keep_memory_and_the_collector_is_switched_on_again() -> None:
    def cyclic(image: Tensor) -> Tensor:
        for _ in range(4):
            ring: list[object] = [image + 1]
            ring.append(ring)
        return image + 1

    assert live_memory(Steps(cyclic)).activations == 5 * 3 * PLANE
    assert gc.isenabled()
