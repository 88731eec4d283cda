"""Every network in conf/model computes what the published one computes, from the published weights."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.cases import with_slow
from helpers.literal import LiteralGraph, run_and_weigh
from helpers.synthetic import (
    Array,
    committed_samples,
    configurations,
    draw,
    expand,
    image,
    load_synthetic,
    published_state,
    reference_name,
    rounding,
    run,
    sample,
    to_input,
)
from hydra.utils import get_class
from torch import Tensor, nn

from esr.errors import WeightsError
from esr.networks.state_dicts import load_into, load_weights, to_own_names

NETWORKS = configurations()
SAMPLES = committed_samples()

PUBLISHED_TOLERANCE = 1e-5
"""Of the output's range."""
DOUBLE_TOLERANCE = 1e-9
"""Of the output's range, in double precision: what is wrong by more than this computes something else."""
SYNTHETIC_TOLERANCE = 1e-4
"""Of the output's range; RLFN's varies by 1e-5 with the number of threads alone, its attention saturates."""
ILL_CONDITIONED = {"aaln", "esan", "fden", "nlffc", "rlcsr", "rlfn", "rmsr_rfdn"}
"""Networks whose synthetic output float32 alone moves by more than 1e-5 of its range, the reference's too."""


@contextmanager
def double_precision() -> Iterator[None]:
    """Tensors that a graph creates without naming a type are float64, like the input."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


every_network = pytest.mark.parametrize("name", NETWORKS)
FEW = {"imdn", "rlfn", "efdn", "bsrn", "scet", "hnct", "mdan"}
"""One network of each kind of operator."""
slow_for_the_largest = pytest.mark.parametrize("name", with_slow(NETWORKS, {"nlffc"}))
slow_for_most = pytest.mark.parametrize("name", with_slow(NETWORKS, {*NETWORKS} - FEW))


def build(name: str) -> nn.Module:
    model = NETWORKS[name]
    network: nn.Module = get_class(model._target_)(**model.args)
    return network.eval()


@cache
def build_synthetic(name: str) -> nn.Module:
    network = build(name)
    load_synthetic(network, NETWORKS[name].checkpoint, published_shapes(name))
    return network


@cache
def run_synthetic(name: str) -> tuple[Tensor, Array]:
    """The image after a pass, and the output."""
    x = to_input(image(), NETWORKS[name])
    return x, run(build_synthetic(name), x)


def published_shapes(name: str) -> dict[str, list[int]]:
    return expand(SAMPLES[name]["shapes"])


def facts(reference: Path, name: str) -> dict[str, Any]:
    every: dict[str, dict[str, Any]] = json.loads((reference / "facts.json").read_text())
    return every[reference_name(NETWORKS[name])]


def literal(name: str, reference: Path, dtype: torch.dtype = torch.float32) -> LiteralGraph:
    """The published graph with the network's synthetic weights."""
    model = NETWORKS[name]
    text = (reference / "graphs" / f"{reference_name(model)}.txt").read_text()
    state = published_state(text, build_synthetic(name), model.checkpoint)
    converted = {key: each.to(dtype) if each.is_floating_point() else each for key, each in state.items()}
    return LiteralGraph(text.replace("torch.float32", str(dtype)), converted)  # which it asserts of masks


def literal_input(name: str) -> Tensor:
    """An image of the only size that a graph describes."""
    return torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0)) * NETWORKS[name].data_range


@cache
def rounding_of(name: str) -> float:
    return rounding(build_synthetic(name), run_synthetic(name)[0])


def allowed(name: str, extent: float) -> float:
    """Tolerance between a synthetic output of some range and the reference's."""
    return PUBLISHED_TOLERANCE * extent + (rounding_of(name) if name in ILL_CONDITIONED else 0)


@every_network
def test_synthetic_weights_give_the_committed_samples(name: str) -> None:
    output = run_synthetic(name)[1]
    assert output.shape == (1, 3, 4 * 37, 4 * 53)
    error = np.abs(sample(output) - np.asarray(SAMPLES[name]["values"])).max()
    assert error <= allowed(name, SAMPLES[name]["range"])


@every_network
def test_synthetic_weights_give_the_reference_output(name: str, reference: Path) -> None:
    with np.load(reference / "synthetic" / f"{reference_name(NETWORKS[name])}.npz") as file:
        assert np.array_equal(file["input"], image())
        error = np.abs(run_synthetic(name)[1] - file["output"]).max()
        assert error <= allowed(name, np.ptp(file["output"]))


@every_network
def test_published_weights_give_the_published_output(name: str, reference: Path) -> None:
    if isinstance(facts(reference, name)["weights"], str):
        pytest.skip("the reference data has no published weights of this network")
    network, model = build(name), NETWORKS[name]
    load_weights(network, reference / "model_zoo" / str(model.checkpoint.file), model.checkpoint)
    with np.load(reference / "golden" / f"{reference_name(model)}.npz") as file:
        output = run(network, to_input(file["input"], model))
        assert np.abs(output - file["output"]).max() <= PUBLISHED_TOLERANCE * np.ptp(file["output"])


@every_network
def test_a_network_has_as_many_parameters_as_the_published_one(name: str, reference: Path) -> None:
    assert sum(each.numel() for each in build(name).parameters()) == facts(reference, name)["params"]


@every_network
def test_the_yaml_states_the_published_file(name: str, reference: Path) -> None:
    model, known = NETWORKS[name], facts(reference, name)
    assert (model.data_range, model.team_id) == (known["data_range"], known["team_id"])
    if not isinstance(known["weights"], str):
        checkpoint = model.checkpoint
        stated = {key: checkpoint[key] for key in known["weights"]}  # type: ignore[index]
        assert stated == known["weights"]
        assert str(checkpoint.url).endswith(f"/model_zoo/{checkpoint.file}")


@every_network
def test_each_published_entry_has_its_place_in_the_network(name: str) -> None:
    drawn = {key: draw(key, shape) for key, shape in published_shapes(name).items()}
    renamed = to_own_names(drawn, NETWORKS[name].checkpoint)
    floating = {key: value for key, value in build(name).state_dict().items() if value.is_floating_point()}
    assert {key: value.shape for key, value in renamed.items()} == {key: value.shape for key, value in floating.items()}


@every_network
def test_weights_that_lack_an_entry_or_have_one_too_many_are_refused(name: str) -> None:
    network = build(name)
    state = network.state_dict()
    first = next(iter(state))
    with pytest.raises(WeightsError, match="missing"):
        load_into(network, {key: value for key, value in state.items() if key != first}, "weights")
    with pytest.raises(WeightsError, match="unexpected"):
        load_into(network, {**state, "stowaway": torch.zeros(1)}, "weights")


@every_network
@pytest.mark.parametrize("size", [(24, 24), (17, 16)])
def test_height_and_width_grow_fourfold(name: str, size: tuple[int, int]) -> None:
    height, width = size
    output = run(build_synthetic(name), torch.rand(2, 3, height, width) * NETWORKS[name].data_range)
    assert output.shape == (2, 3, 4 * height, 4 * width)
    assert np.isfinite(output).all()


@every_network
def test_the_input_is_left_as_it_is(name: str) -> None:
    assert torch.equal(run_synthetic(name)[0], to_input(image(), NETWORKS[name]))


@slow_for_the_largest
def test_recording_gradients_changes_no_output(name: str) -> None:
    network = build_synthetic(name)
    x = to_input(image(), NETWORKS[name])
    recorded: Tensor = network(x)
    gradients = torch.autograd.grad(recorded.square().mean(), list(network.parameters()), allow_unused=True)
    assert all(bool(torch.isfinite(each).all()) for each in gradients if each is not None)
    error = np.abs(recorded.detach().numpy() - run_synthetic(name)[1]).max()
    assert error <= SYNTHETIC_TOLERANCE * SAMPLES[name]["range"]


@slow_for_most
def test_in_double_precision_a_network_is_its_published_graph(name: str, reference: Path) -> None:
    """Strict for all: what float32 alone sets apart under synthetic weights is gone."""
    network, graph = copy.deepcopy(build_synthetic(name)).double(), literal(name, reference, torch.float64)
    x = literal_input(name).double()
    with double_precision():
        expected = run(graph, x)
        error = np.abs(run(network, x) - expected).max()
    assert error <= DOUBLE_TOLERANCE * np.ptp(expected)


@every_network
def test_no_more_memory_is_live_than_in_a_literal_run_of_the_graph(name: str, reference: Path) -> None:
    network, graph, x = build_synthetic(name), literal(name, reference), literal_input(name)
    (output, peak), (expected, most) = run_and_weigh(network, x), run_and_weigh(graph, x)
    assert (output - expected).abs().max() <= SYNTHETIC_TOLERANCE * np.ptp(expected.numpy())
    assert peak <= most


def test_every_network_of_the_configuration_has_committed_samples() -> None:
    assert NETWORKS.keys() == SAMPLES.keys()
