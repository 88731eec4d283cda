"""Counting parameters, operations, activations and convolutions."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest
import torch
import torch.nn.functional as F
from helpers.counted import CONVOLVING_MACS, PIXELS, SIZE, Calling, Convolving
from hydra.utils import get_class
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from esr.complexity import layers, measure, operators
from esr.config.schema import ModelConf
from esr.records.network import Complexity

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "conf" / "model").glob("*.yaml"))
BASELINES = {-1: "imdn", 0: "rfdn"}
COLUMNS = ("params", "flops", "macs", "activations")


@torch.library.custom_op("esr_tests::blur", mutates_args=())
def blur(image: Tensor) -> Tensor:
    """A custom kernel without an implementation for the meta device."""
    return F.avg_pool2d(image, 3, 1, 1)


def of_shape(*shape: int) -> Tensor:
    return torch.zeros(shape, device="meta")


# The published networks


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_network_of_the_challenge_counts_as_published(path: Path, reference: Path) -> None:
    config = OmegaConf.merge(OmegaConf.structured(ModelConf), OmegaConf.load(path))
    if config.team_id is None:
        pytest.skip("not a network of the challenge")
    facts = json.loads((reference / "facts.json").read_text())
    fact = facts[BASELINES.get(config.team_id, f"team{config.team_id:02d}")]
    network = get_class(config._target_)(**config.args)

    counted = measure(network)

    assert counted.params == fact["params"]
    assert counted.flops == fact["flops_challenge"]
    assert counted.macs == fact["macs_dispatcher"]
    assert counted.activations == fact["activations"]
    assert counted.convolutions == fact["convolutions"]
    assert set(counted.without_formula) <= {"aten._fft_r2c", "aten._fft_c2r"}


@pytest.mark.parametrize("name", ["bsrn", "scet"])
def test_the_layers_of_a_network_sum_to_its_counts(name: str) -> None:
    (path,) = (path for path in CONFIGS if path.stem == name)
    config = OmegaConf.merge(OmegaConf.structured(ModelConf), OmegaConf.load(path))
    network = get_class(config._target_)(**config.args)
    counted, rows = measure(network), layers(network)
    for column in COLUMNS:
        assert sum(getattr(row, column) for row in rows) == getattr(counted, column), column


# Operators


@pytest.mark.parametrize(
    ("function", "macs"),
    [
        (lambda z: z(2, 3) @ z(3, 5), 2 * 3 * 5),
        (lambda z: z(2, 3) @ z(3), 2 * 3),
        (lambda z: z(3) @ z(3), 3),
        (lambda z: z(2, 1, 3, 4) @ z(5, 4, 6), 2 * 5 * 3 * 4 * 6),
        (lambda z: torch.vdot(z(3), z(3)), 3),
        (lambda z: torch.addmm(z(5), z(2, 3), z(3, 5)), 2 * 3 * 5),
        (lambda z: torch.addmv(z(2), z(2, 3), z(3)), 2 * 3),
        (lambda z: torch.addr(z(2, 3), z(2), z(3)), 2 * 3),
        (lambda z: torch.baddbmm(z(7, 2, 5), z(7, 2, 3), z(7, 3, 5)), 7 * 2 * 3 * 5),
        (lambda z: torch.addbmm(z(2, 5), z(7, 2, 3), z(7, 3, 5)), 7 * 2 * 3 * 5),
        (lambda z: z(2, 5).addmm_(z(2, 3), z(3, 5)), 2 * 3 * 5),
        (lambda z: torch.mm(z(2, 3), z(3, 5), out=z(2, 5)), 2 * 3 * 5),
        (lambda z: torch.einsum("bhic,bhjc->bhij", z(1, 2, 7, 4), z(1, 2, 9, 4)), 2 * 7 * 9 * 4),
        (lambda z: torch.tensordot(z(2, 3, 4), z(4, 3, 5), ([1, 2], [1, 0])), 2 * 3 * 4 * 5),
        (lambda z: F.linear(z(2, 6, 7, 3), z(5, 3), z(5)), 2 * 6 * 7 * 3 * 5),
        (lambda z: F.linear(z(2, 3, 6, 7).permute(0, 2, 3, 1), z(5, 3), z(5)), 2 * 6 * 7 * 3 * 5),
        (lambda z: F.conv1d(z(2, 4, 9), z(6, 4, 3)), 2 * 7 * 6 * 4 * 3),
        (lambda z: F.conv2d(z(1, 4, 8, 9), z(6, 4, 3, 3), padding="same"), 8 * 9 * 6 * 4 * 9),
        (lambda z: F.conv2d(z(4, 8, 9), z(4, 1, 3, 3), groups=4), 6 * 7 * 4 * 9),
        (lambda z: F.conv2d(z(1, 4, 9, 9), z(6, 2, 3, 3), groups=2, dilation=3), 3 * 3 * 6 * 2 * 9),
        (lambda z: F.conv3d(z(1, 2, 4, 4, 4), z(3, 2, 2, 2, 2)), 27 * 3 * 2 * 8),
        (lambda z: F.conv_transpose2d(z(1, 4, 5, 6), z(4, 3, 2, 2), stride=2), 5 * 6 * 4 * 3 * 4),
        (lambda z: torch.ops.aten.slow_conv_dilated2d(z(1, 4, 9, 9), z(5, 4, 3, 3), [3, 3]), 5 * 49 * 4 * 9),
        (lambda z: torch.ops.aten.slow_conv_transpose2d(z(1, 4, 9, 9), z(4, 5, 3, 3), [3, 3]), 4 * 81 * 5 * 9),
        (lambda z: torch.ops.aten._addmm_activation(z(5), z(2, 3), z(3, 5)), 2 * 3 * 5),
        (lambda z: torch.ops.mkldnn._linear_pointwise(z(2, 3), z(5, 3), None, "none", [], ""), 2 * 3 * 5),
        (lambda z: torch.conv_tbc(z(9, 2, 4), z(3, 4, 6), z(6)), 7 * 2 * 6 * 3 * 4),
        (
            lambda z: F.scaled_dot_product_attention(z(1, 2, 7, 4), z(1, 2, 9, 4), z(1, 2, 9, 6)),
            2 * 7 * 9 * (4 + 6),
        ),
        (
            lambda z: F.scaled_dot_product_attention(*(3 * [z(1, 2, 7, 4)]), is_causal=True),
            2 * 7 * 7 * (4 + 4),
        ),
        (
            lambda z: F.scaled_dot_product_attention(z(1, 6, 7, 4), z(1, 2, 9, 4), z(1, 2, 9, 4), enable_gqa=True),
            6 * 7 * 9 * (4 + 4),
        ),
        (lambda z: torch.func.vmap(lambda a: a @ a)(z(3, 4, 4)), 3 * 4 * 4 * 4),
    ],
)
@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_every_kind_of_product_counts_what_its_shapes_say(
    function: Callable[..., object], macs: int, device: str
) -> None:
    def products(image: Tensor) -> object:
        if device == "cpu":
            float(image.sum())  # a value, which the meta device does not have
        return function(partial(torch.zeros, device=image.device))

    counted = measure(Calling(products), SIZE, SIZE)

    assert counted.macs == sum(counted.missed_by_hooks.values()) == macs
    assert counted.flops == counted.params == counted.activations == counted.convolutions == 0
    assert counted.without_formula == {}


@given(
    channels=st.integers(1, 3),
    filters=st.integers(1, 3),
    groups=st.integers(1, 3),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 3),
    transposed=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_any_convolution_counts_half_of_what_pytorchs_own_counter_says(
    channels: int,
    filters: int,
    groups: int,
    kernel: tuple[int, int],
    stride: int,
    dilation: int,
    transposed: bool,
) -> None:
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    widened = nn.Conv2d(3, channels * groups, 1)
    tested = kind(channels * groups, filters * groups, kernel, stride, dilation=dilation, groups=groups)
    network = nn.Sequential(widened, tested)

    with FlopCounterMode(display=False) as peer, torch.no_grad():
        network(torch.zeros(1, 3, SIZE, SIZE))

    assert measure(network, SIZE, SIZE).macs == peer.get_total_flops() // 2


ATTENTIONS = [
    "scaled_dot_product_attention",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
]


@pytest.mark.parametrize("name", ATTENTIONS)
def test_each_variant_of_attention_counts_the_same(name: str) -> None:
    query, key, value = of_shape(1, 2, 7, 4), of_shape(1, 2, 9, 4), of_shape(1, 2, 9, 6)
    result = of_shape(1, 2, 7, 6)
    operator = getattr(torch.ops.aten, name).default

    assert operators.macs(operator, [query, key, value], (result, None)) == 2 * 7 * 9 * (4 + 6)


@pytest.mark.parametrize("backend", ["cudnn", "miopen", "mkldnn"])
def test_a_backends_convolution_counts_like_the_general_one(backend: str) -> None:
    operator = getattr(torch.ops.aten, f"{backend}_convolution").default

    assert operators.macs(operator, [of_shape(1, 4, 8, 8), of_shape(6, 4, 3, 3)], of_shape(1, 6, 6, 6)) == (
        6 * 6 * 6 * 4 * 9
    )


def test_nothing_that_pytorchs_own_counter_counts_is_free() -> None:
    counted = {str(operator).removeprefix("aten.") for operator in flop_registry}

    assert "mm" in counted
    assert not counted & operators.FREE
    assert not operators.ADDED.keys() & operators.FREE


def test_work_that_the_field_does_not_count_is_free() -> None:
    def work(image: Tensor) -> Tensor:
        features = F.group_norm(F.pad(image, (1, 1, 1, 1), mode="reflect"), 3)
        features = F.layer_norm(F.gelu(features).mul_(2).clamp_(0, 1), features.shape[-2:])
        pooled = F.max_pool2d(features, 2) + F.adaptive_avg_pool2d(features, 9) - F.avg_pool2d(features, 2)
        windows = F.fold(F.unfold(pooled, 3), pooled.shape[-2:], 3).roll(1, dims=2).softmax(dim=1)
        windows[:, :, 0] = windows.var(dim=2) * windows.amax(dim=2).sqrt()
        large = F.interpolate(windows, scale_factor=2, mode="bicubic").flip(3)
        large = large + F.interpolate(windows, scale_factor=2, mode="nearest")
        joined = torch.cat([large, large.to(torch.float64).float()], dim=1).chunk(2, dim=1)[0]
        mask = torch.zeros(1, 1, *joined.shape[-2:], device=image.device)
        mask[..., 2:4, :] = 1
        with torch.profiler.record_function("tail"):
            return F.pixel_unshuffle(joined.masked_fill(mask == 0, -100.0), 2)

    counted = measure(Calling(work), SIZE, SIZE)

    assert (counted.macs, counted.without_formula) == (0, {})


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda image: torch.fft.irfft2(torch.fft.rfft2(image)), {"aten._fft_r2c": 1, "aten._fft_c2r": 1}),
        (
            lambda image: F.grid_sample(image, image.new_zeros(1, 5, 5, 2), align_corners=False),
            {"aten.grid_sampler_2d": 1},
        ),
        (lambda image: torch.linalg.inv_ex(image @ image), {"aten.linalg_inv_ex": 1}),
        (lambda image: blur(blur(image)), {"esr_tests.blur": 2}),
    ],
)
def test_an_operator_without_a_formula_is_named(function: Callable[[Tensor], Tensor], names: dict[str, int]) -> None:
    assert measure(Convolving(lambda f: function(f[:, :3])), SIZE, SIZE).without_formula == names


# Modules, as the challenge's script counts


def test_a_convolution_counts_the_same_by_both_definitions() -> None:
    counted = measure(Convolving(), SIZE, SIZE)

    assert counted.params == 4 * 3 * 9 + 4
    assert counted.flops == counted.macs == CONVOLVING_MACS
    assert (counted.activations, counted.convolutions) == (4 * PIXELS, 1)
    assert (counted.missed_by_hooks, counted.without_formula) == ({}, {})


def test_the_input_need_not_be_square() -> None:
    counted = measure(Convolving(), 5, 7)

    assert counted.input_shape == (1, 3, 5, 7)
    assert counted.macs == 5 * 7 * 4 * 3 * 9


def test_the_script_counts_transposed_convolutions_by_output_and_the_dispatcher_by_input() -> None:
    counted = measure(nn.ConvTranspose2d(3, 6, 4, stride=2, padding=1, groups=3), SIZE, SIZE)

    assert counted.flops == 4 * 4 * 3 * 6 // 3 * 4 * PIXELS
    assert counted.macs == 4 * 4 * 3 * 6 // 3 * PIXELS
    assert (counted.activations, counted.convolutions) == (6 * 4 * PIXELS, 1)


def test_a_module_called_twice_counts_twice_and_its_parameters_once() -> None:
    shared = nn.Conv2d(3, 3, 1)
    counted = measure(nn.Sequential(shared, nn.Sequential(shared)), SIZE, SIZE)

    assert counted.params == 12
    assert counted.flops == counted.macs == 2 * 9 * PIXELS
    assert counted.convolutions == 2


def test_a_parameter_of_two_modules_counts_once() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False))
    network[1].weight = network[0].weight

    assert measure(network, SIZE, SIZE).params == 9
    assert [row.params for row in layers(network, SIZE, SIZE)] == [9, 0]


@pytest.mark.parametrize(
    ("module", "per_element"),
    [
        (nn.ReLU(), 1),
        (nn.LeakyReLU(0.05, inplace=True), 1),
        (nn.PReLU(), 1),
        (nn.ELU(), 1),
        (nn.ReLU6(), 1),
        (nn.BatchNorm2d(3), 2),
        (nn.BatchNorm2d(3, affine=False), 1),
        (nn.GELU(), 0),
        (nn.SiLU(), 0),
        (nn.Sigmoid(), 0),
        (nn.GroupNorm(1, 3), 0),
        (nn.PixelShuffle(1), 0),
        (nn.MaxPool2d(1), 0),
    ],
)
def test_the_script_counts_some_modules_by_output_elements(module: nn.Module, per_element: int) -> None:
    counted = measure(module, SIZE, SIZE)

    assert counted.flops == per_element * 3 * PIXELS
    assert counted.macs == 0


def test_the_script_does_not_see_functional_calls() -> None:
    kernel = torch.zeros(4, 4, 1, 1)
    network = Convolving(lambda features: F.conv2d(F.relu(features), kernel.to(features.device)))
    counted = measure(network, SIZE, SIZE)

    assert counted.flops == CONVOLVING_MACS
    assert counted.macs == CONVOLVING_MACS + 16 * PIXELS
    assert counted.missed_by_hooks == {"aten.convolution": 16 * PIXELS}
    assert (counted.activations, counted.convolutions) == (4 * PIXELS, 1)


@pytest.mark.parametrize(
    ("prepare", "flops", "macs"),
    [
        (lambda image: image[0, 0], SIZE * SIZE * 5, SIZE * SIZE * 5),
        (lambda image: image[0], 3 * SIZE * SIZE, 3 * SIZE * SIZE * 5),
        (lambda image: image, 3 * 3, 3 * SIZE * SIZE * 5),
        (lambda image: image[0, 0, 0], SIZE * 5, SIZE * 5),
    ],
    ids=["2d", "3d", "4d", "1d"],
)
def test_the_script_is_right_about_linear_layers_of_matrices_alone(
    prepare: Callable[[Tensor], Tensor], flops: int, macs: int
) -> None:
    counted = measure(nn.Sequential(Calling(prepare), nn.Linear(SIZE, 5)), SIZE, SIZE)

    assert (counted.flops, counted.macs) == (flops, macs)
    assert counted.missed_by_hooks == {}


def test_multi_head_attention_counts_wherever_it_runs() -> None:
    attention = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    tokens = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Flatten(2), Calling(lambda t: t.transpose(1, 2)))
    expected = PIXELS * (3 * 8 + 4 * 8 * 8 + 2 * 8 * 16) + 2 * PIXELS * PIXELS * 8
    on_values = Calling(lambda t: t + float(t.sum()))

    assert measure(nn.Sequential(tokens, attention), SIZE, SIZE).macs == expected
    assert measure(nn.Sequential(tokens, on_values, attention), SIZE, SIZE).macs == expected


def test_the_result_is_the_part_of_a_record() -> None:
    counted = measure(Convolving(lambda f: torch.fft.fft(f @ f)), SIZE, SIZE)
    written = msgspec.json.encode(counted)

    assert msgspec.json.decode(written, type=Complexity) == counted
    assert json.loads(written)["input_shape"] == [1, 3, SIZE, SIZE]
    assert json.loads(written)["without_formula"] == {"aten._fft_r2c": 1}
