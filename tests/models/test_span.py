"""SPAN computes what the published network computes; the values come from it, never from the network here.

It is no network of the challenge of 2022, whose reference data the other tests use.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.literal import run_and_weigh
from helpers.synthetic import ROOT, Sample, draw, expand, image, load_synthetic, run, sample, to_input
from hydra.utils import get_class
from omegaconf import OmegaConf
from torch import Tensor

from esr.config.cards import card
from esr.config.schema import ModelConf
from esr.models.span import SPAN, attend
from esr.networks.state_dicts import to_own_names

MODEL = OmegaConf.merge(OmegaConf.structured(ModelConf), OmegaConf.load(ROOT / "conf" / "model" / "span.yaml"))
PUBLISHED: Sample = json.loads(Path(__file__).parents[1].joinpath("helpers", "span_samples.json").read_text())["span"]
SHAPES = expand(PUBLISHED["shapes"])
TOLERANCE = 1e-5
"""Of the output's range."""


@pytest.fixture(scope="module")
def network() -> SPAN:
    built: SPAN = get_class(MODEL._target_)(**MODEL.args).eval()
    load_synthetic(built, MODEL.checkpoint, SHAPES)
    return built


def test_synthetic_weights_give_the_committed_samples(network: SPAN) -> None:
    output = run(network, to_input(image(), MODEL))
    assert np.abs(sample(output) - np.asarray(PUBLISHED["values"])).max() <= TOLERANCE * PUBLISHED["range"]


def test_each_published_entry_has_its_place_in_the_network(network: SPAN) -> None:
    renamed = to_own_names({key: draw(key, shape) for key, shape in SHAPES.items()}, MODEL.checkpoint)
    assert {key: each.shape for key, each in renamed.items()} == {
        key: each.shape for key, each in network.state_dict().items()
    }


@pytest.mark.parametrize("size", [(24, 24), (17, 16), (37, 53)])
def test_height_and_width_grow_fourfold(network: SPAN, size: tuple[int, int]) -> None:
    assert run(network, torch.rand(2, 3, *size)).shape == (2, 3, 4 * size[0], 4 * size[1])


def test_the_input_is_left_as_it_is(network: SPAN) -> None:
    x = to_input(image(), MODEL)
    run(network, x)
    assert torch.equal(x, to_input(image(), MODEL))


def test_recording_gradients_changes_no_output(network: SPAN) -> None:
    x = to_input(image(), MODEL)
    recorded: Tensor = network(x)
    gradients = torch.autograd.grad(recorded.square().mean(), list(network.parameters()))
    assert all(bool(torch.isfinite(each).all()) for each in gradients)
    assert np.abs(recorded.detach().numpy() - run(network, x)).max() <= TOLERANCE * PUBLISHED["range"]


def test_attention_multiplies_by_an_odd_function_of_the_features() -> None:
    features, skip = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    expected = (features + skip) * (torch.sigmoid(features) - 0.5)
    assert torch.allclose(attend(features.clone(), skip), expected)
    assert torch.allclose(attend(features.clone().requires_grad_(), skip), expected)


def test_few_features_are_alive_at_once(network: SPAN) -> None:
    x = torch.rand(1, 3, 32, 32)
    plane = 28 * 32 * 32 * 4
    assert run_and_weigh(network, x)[1] <= 9 * plane


def test_its_figures_are_those_of_2026() -> None:
    published = card("span").published
    assert published is not None
    assert (published.challenge, published.flops_fvcore_g, published.flops_g) == ("ntire2026", 9.83, None)
