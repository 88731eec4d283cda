"""The memory of one forward pass, with peaks worked out by hand."""

import gc
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from esr.complexity import PeakMemory, peak_memory

SIZE = 16
FLOAT = 4
PLANE = SIZE * SIZE * FLOAT
"""Bytes of one channel."""
LARGEST_LR = 510
"""Height and width of DIV2K's largest validation LR images."""


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
    memory = peak_memory(Steps(function, on_values=on_values), SIZE, SIZE)

    assert memory == PeakMemory(weights=0, input=3 * PLANE, activations=int(planes * PLANE))


def test_weights_and_input_count_beside_the_activations() -> None:
    network = nn.Sequential(conv(3, 8), nn.ReLU(inplace=True), conv(8, 4))
    memory = peak_memory(network, SIZE, SIZE)

    assert memory == PeakMemory(weights=(24 + 32) * FLOAT, input=3 * PLANE, activations=(8 + 4) * PLANE)
    assert memory.total == memory.weights + memory.input + memory.activations
    assert memory.mib == memory.total / 2**20
    assert memory.as_dict() == {
        "weights": 224,
        "input": 3072,
        "activations": 12288,
        "total": 15584,
    }


def test_an_activation_that_is_not_in_place_needs_memory_of_its_own() -> None:
    assert peak_memory(nn.Sequential(conv(3, 8), nn.ReLU()), SIZE, SIZE).activations == 16 * PLANE


def test_a_shared_weight_and_a_buffer_count_once() -> None:
    network = nn.Sequential(conv(3, 3), conv(3, 3), nn.BatchNorm2d(3))
    network[1].weight = network[0].weight
    steps = 8  # BatchNorm's counter of batches, int64

    assert peak_memory(network, SIZE, SIZE).weights == (9 + 4 * 3) * FLOAT + steps


def test_half_precision_needs_half_the_memory() -> None:
    network = nn.Sequential(conv(3, 8), nn.Conv2d(8, 3, 1))
    full, half = peak_memory(network, SIZE, SIZE), peak_memory(network.half(), SIZE, SIZE)

    assert full.total == 2 * half.total


def test_a_list_of_results_lives_until_it_is_emptied() -> None:
    def kept(image: Tensor, *, empty: bool) -> Tensor:
        parts = [image + 1, image + 2]
        joined = torch.cat(parts, dim=1)
        if empty:
            parts.clear()
        return joined + 1

    assert peak_memory(Steps(lambda i: kept(i, empty=False)), SIZE, SIZE).activations == (6 + 6 + 6) * PLANE
    assert peak_memory(Steps(lambda i: kept(i, empty=True)), SIZE, SIZE).activations == (6 + 6) * PLANE


def test_cycles_of_references_keep_memory_and_the_collector_is_switched_on_again() -> None:
    def cyclic(image: Tensor) -> Tensor:
        for _ in range(4):
            ring: list[object] = [image + 1]
            ring.append(ring)
        return image + 1

    assert peak_memory(Steps(cyclic), SIZE, SIZE).activations == 5 * 3 * PLANE
    assert gc.isenabled()


# Published figures: the two baselines, written so that every block holds its features until it returns


class HoldingIMDB(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList(nn.Conv2d(n, 64, 3, padding=1) for n in (64, 48, 48))
        self.last = nn.Conv2d(48, 16, 3, padding=1)
        self.fuse = nn.Conv2d(64, 64, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts, rest = [], x
        for step in self.steps:
            part, rest = F.leaky_relu_(step(rest), 0.05).split([16, 48], dim=1)
            parts.append(part)
        parts.append(self.last(rest))
        fused = torch.cat(parts, dim=1)
        fused = self.fuse(fused)
        return x + fused


class HoldingIMDN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 64, 3, padding=1)
        self.body = nn.Sequential(*(HoldingIMDB() for _ in range(8)), nn.Conv2d(64, 64, 3, padding=1))
        self.tail = nn.Sequential(nn.Conv2d(64, 48, 3, padding=1), nn.PixelShuffle(4))

    def forward(self, image: Tensor) -> Tensor:
        features = self.head(image)
        return self.tail(features + self.body(features))


class HoldingRFDB(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.distill = nn.ModuleList(nn.Conv2d(50, 25, 1) for _ in range(3))
        self.refine = nn.ModuleList(nn.Conv2d(50, 50, 3, padding=1) for _ in range(3))
        self.last = nn.Conv2d(50, 25, 3, padding=1)
        self.fuse = nn.Conv2d(100, 50, 1)
        self.squeeze = nn.Conv2d(50, 12, 1)
        self.down = nn.Conv2d(12, 12, 3, stride=2)
        self.context = nn.ModuleList(nn.Conv2d(12, 12, 3, padding=1) for _ in range(3))
        self.skip = nn.Conv2d(12, 12, 1)
        self.expand = nn.Conv2d(12, 50, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts, steps = [], [x]
        for distill, refine in zip(self.distill, self.refine, strict=True):
            parts.append(F.leaky_relu_(distill(steps[-1]), 0.05))
            refined = refine(steps[-1])
            steps.append(F.leaky_relu_(refined + steps[-1], 0.05))
            del refined
        parts.append(F.leaky_relu_(self.last(steps[-1]), 0.05))
        joined = torch.cat(parts, dim=1)
        return self.attend(self.fuse(joined))

    def attend(self, x: Tensor) -> Tensor:
        squeezed = self.squeeze(x)
        context = F.max_pool2d(self.down(squeezed), 7, 3)
        for layer in self.context:
            context = layer(context)
        large = F.interpolate(context, x.shape[-2:], mode="bilinear")
        skipped = self.skip(squeezed)
        logits = self.expand(large + skipped)
        gate = logits.sigmoid()
        return x * gate


class HoldingRFDN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, 50, 3, padding=1)
        self.blocks = nn.ModuleList(HoldingRFDB() for _ in range(4))
        self.fuse = nn.Conv2d(200, 50, 1)
        self.after_blocks = nn.Conv2d(50, 50, 3, padding=1)
        self.tail = nn.Sequential(nn.Conv2d(50, 48, 3, padding=1), nn.PixelShuffle(4))

    def forward(self, image: Tensor) -> Tensor:
        features = [self.head(image)]
        for block in self.blocks:
            features.append(block(features[-1]))
        fused = F.leaky_relu_(self.fuse(torch.cat(features[1:], dim=1)), 0.05)
        return self.tail(self.after_blocks(fused) + features[0])


@pytest.mark.parametrize(("kind", "published"), [(HoldingIMDN, 471.76), (HoldingRFDN, 788.13)])
def test_a_baseline_that_holds_its_features_needs_what_was_published(
    kind: type[nn.Module], published: float
) -> None:
    memory = peak_memory(kind(), LARGEST_LR, LARGEST_LR)

    assert 0.985 * published < memory.mib <= published
