"""Side effects on an observed network, and the attribution of its work module by module."""

import copy
import threading
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from esr.complexity import layers, measure
from esr.errors import ConfigError, NetworkError
from esr.records.network import Layer

SIZE = 16
PIXELS = SIZE * SIZE
MACS = PIXELS * 4 * 3 * 9
"""Of the convolution in `Plain`."""


class Plain(nn.Module):
    """A convolution of 3 to 4 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image)


class DependsOnValues(Plain):
    def forward(self, image: Tensor) -> Tensor:
        features = self.conv(image)
        return features * 2 if features.isfinite().all() else features


class MakesTensorsOnCpu(Plain):
    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image) + torch.ones(4, 1, 1)


class KeepsState(Plain):
    def forward(self, image: Tensor) -> Tensor:
        self.last = self.conv(image)
        return self.last


class HoldsAResult(Plain):
    """With a plain attribute that has a history of gradients, as old-style weight normalisation leaves."""

    def __init__(self) -> None:
        super().__init__()
        self.scaled = self.conv.weight * 2

    def forward(self, image: Tensor) -> Tensor:
        return F.conv2d(image, self.scaled, padding=1)


class Uncopyable(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class Fails(Uncopyable):
    def forward(self, image: Tensor) -> Tensor:
        self.conv(image)
        raise ValueError("no luck\nwith this image")


class CatchesAFailure(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.wrong = nn.Conv2d(5, 5, 1)

    def forward(self, image: Tensor) -> Tensor:
        try:
            return self.wrong(image)
        except RuntimeError:
            return self.conv(image)


class Attention(nn.Module):
    """Projects, multiplies, projects; scaled by a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.ones(1))
        self.out = nn.Linear(4, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.into(tokens)
        return self.out(self.scale * (tokens @ tokens.mT) @ tokens)


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tail = nn.Conv2d(4, 3, 1)
        self.head = nn.Conv2d(3, 4, 1)
        self.act = nn.ReLU()
        self.attention = Attention()
        self.unused = nn.Conv2d(2, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        features = self.act(self.head(image))
        tokens = self.attention(features.flatten(2).mT)
        return self.tail(self.act(tokens.mT.unflatten(2, image.shape[-2:])))


def hooks(network: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules())


# What is left behind


@pytest.mark.parametrize("kind", [Plain, DependsOnValues, MakesTensorsOnCpu, KeepsState, Uncopyable])
@pytest.mark.parametrize("look", [measure, layers])
def test_a_network_is_left_as_it_was(kind: type[Plain], look: Callable[..., object]) -> None:
    network = kind().train()
    network.conv.eval()
    network.conv(torch.ones(1, 3, 4, 4)).sum().backward()
    attributes = set(vars(network))
    before = copy.deepcopy(network.conv.state_dict())
    gradient = network.conv.weight.grad.clone()

    look(network, SIZE, SIZE)

    assert (network.training, network.conv.training) == (True, False)
    assert hooks(network) == 0
    assert set(vars(network)) == attributes
    assert network.conv.weight.device == torch.device("cpu")
    assert network.conv.weight.requires_grad
    assert torch.equal(network.conv.weight.grad, gradient)
    assert all(torch.equal(value, before[key]) for key, value in network.conv.state_dict().items())


@pytest.mark.parametrize("look", [measure, layers])
def test_a_failing_network_is_named_in_one_line_and_left_as_it_was(look: Callable[..., object]) -> None:
    network = Fails().train()

    with pytest.raises(NetworkError) as failure:
        look(network, SIZE, SIZE)

    assert str(failure.value).startswith("Fails fails on a 1×3×16×16 input (ValueError: no luck with this image)")
    assert "\n" not in str(failure.value)
    assert (hooks(network), network.training, network.conv.training) == (0, True, True)
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_size_that_a_network_does_not_take_is_its_error() -> None:
    with pytest.raises(NetworkError, match=r"fails on a 1×3×4×4 input .*choose a height and width"):
        measure(nn.Conv2d(3, 3, 5), 4, 4)


@pytest.mark.parametrize(("height", "width", "named"), [(0, 8, "height"), (8, -1, "width")])
def test_an_image_without_pixels_is_refused(height: int, width: int, named: str) -> None:
    with pytest.raises(ConfigError, match=f"{named} must be at least 1 pixel"):
        measure(Plain(), height, width)


def test_lazy_parameters_are_refused() -> None:
    with pytest.raises(NetworkError, match="lazy parameters without a shape"):
        measure(nn.LazyConv2d(4, 3), SIZE, SIZE)


# Networks that need special care


@pytest.mark.parametrize("kind", [Plain, DependsOnValues, MakesTensorsOnCpu, KeepsState, Uncopyable, CatchesAFailure])
def test_every_network_counts_the_same_wherever_it_can_run(kind: type[Plain]) -> None:
    counted = measure(kind(), SIZE, SIZE)

    assert counted.flops == counted.macs == MACS
    assert (counted.missed_by_hooks, counted.without_formula) == ({}, {})


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_the_image_has_the_networks_own_precision(dtype: torch.dtype) -> None:
    assert measure(Plain().to(dtype), SIZE, SIZE).macs == MACS


def test_a_network_without_values_can_be_measured() -> None:
    assert measure(Plain().to("meta"), SIZE, SIZE).macs == MACS


def test_a_result_held_as_an_attribute_is_no_obstacle() -> None:
    assert measure(HoldsAResult(), SIZE, SIZE).missed_by_hooks == {"aten.convolution": MACS}


def test_measuring_within_inference_mode_changes_nothing() -> None:
    with torch.inference_mode():
        assert measure(Body(), SIZE, SIZE) == measure(Body(), SIZE, SIZE)


def test_compiled_parts_count_as_they_are_written() -> None:
    whole = torch.compile(Plain())
    part = nn.Sequential(torch.compile(nn.Conv2d(3, 4, 3, padding=1)), nn.ReLU())

    assert measure(whole, SIZE, SIZE) == measure(Plain(), SIZE, SIZE)
    assert measure(part, SIZE, SIZE).macs == MACS
    assert [row.path for row in layers(whole, SIZE, SIZE)] == ["conv"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_hooks_do_not_see_into_a_scripted_module_but_the_dispatcher_does() -> None:
    network = nn.Sequential(torch.jit.script(nn.Conv2d(3, 4, 3, padding=1)), nn.Conv2d(4, 3, 1))
    counted = measure(network, SIZE, SIZE)

    assert (counted.convolutions, counted.flops) == (1, 4 * 3 * PIXELS)
    assert counted.macs == MACS + 4 * 3 * PIXELS
    assert counted.missed_by_hooks == {"aten.convolution": MACS}
    assert measure(network[0], SIZE, SIZE).macs == MACS


# Layer by layer


def test_layers_stand_in_the_order_in_which_they_run() -> None:
    rows = layers(Body(), SIZE, SIZE)

    assert [(row.path, row.type, row.calls) for row in rows] == [
        ("head", "Conv2d", 1),
        ("act", "ReLU", 2),
        ("attention", "Attention", 1),
        ("attention.into", "Linear", 1),
        ("attention.out", "Linear", 1),
        ("tail", "Conv2d", 1),
        ("unused", "Conv2d", 0),
    ]


def test_a_row_holds_what_its_module_alone_does() -> None:
    rows = {row.path: row for row in layers(Body(), SIZE, SIZE)}

    assert rows["head"] == Layer(
        path="head",
        type="Conv2d",
        calls=1,
        output_shape=(1, 4, SIZE, SIZE),
        params=16,
        flops=12 * PIXELS,
        macs=12 * PIXELS,
        activations=4 * PIXELS,
    )
    assert rows["attention"].macs == 2 * 4 * PIXELS**2
    assert (rows["attention"].params, rows["attention"].flops) == (1, 0)
    assert rows["attention.into"].macs == 16 * PIXELS
    assert rows["act"].flops == 2 * 4 * PIXELS
    assert (rows["unused"].params, rows["unused"].output_shape) == (6, None)


@pytest.mark.parametrize("column", ["params", "flops", "macs", "activations"])
@pytest.mark.parametrize("kind", [Body, Plain, DependsOnValues, HoldsAResult, CatchesAFailure])
def test_columns_add_up_to_the_networks_figures(kind: type[nn.Module], column: str) -> None:
    network = kind()

    assert sum(getattr(row, column) for row in layers(network, SIZE, SIZE)) == getattr(
        measure(network, SIZE, SIZE), column
    )


def test_a_parametrized_module_is_one_row() -> None:
    conv = nn.Conv2d(3, 4, 3, padding=1)
    network = nn.Sequential(parametrizations.weight_norm(conv))
    (row,) = layers(network, SIZE, SIZE)

    assert (row.path, row.params, row.flops, row.macs) == ("0", 4 * 3 * 9 + 4 + 4, MACS, MACS)
    assert [r.path for r in layers(parametrizations.weight_norm(nn.Conv2d(3, 4, 1)), SIZE, SIZE)] == [""]


def test_a_network_that_is_one_layer_is_one_row_without_a_path() -> None:
    (row,) = layers(nn.Conv2d(3, 4, 1), SIZE, SIZE)

    assert row == Layer(
        path="",
        type="Conv2d",
        calls=1,
        output_shape=(1, 4, SIZE, SIZE),
        params=16,
        flops=12 * PIXELS,
        macs=12 * PIXELS,
        activations=4 * PIXELS,
    )
