"""The training recipe: batches, losses and learning rates, initial weights, exported weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.training_runs import log_of, tiny, train
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from esr.config.schema import CheckpointConf
from esr.errors import ConfigError, WeightsError
from esr.images.bicubic import bicubic_downscale, bicubic_upscale
from esr.images.files import read_rgb
from esr.models.imdn import IMDN
from esr.networks import build as networks
from esr.networks import inference
from esr.networks.state_dicts import load_weights
from esr.training import checkpoint, start
from esr.training.config import PhaseConf, TrainConf
from esr.training.data import Patches, TrainingPair, digest, read_pairs
from esr.training.recipe import Average, learning_rate, loss, recipe_step
from esr.zoo import weights as zoo


@pytest.fixture
def here(participant, monkeypatch):
    """The participant's folder, as the working directory."""
    monkeypatch.chdir(participant)
    return participant


# Batches


def coordinates(height: int, width: int) -> TrainingPair:
    """A pair whose LR pixels encode their position, and whose HR repeats each of them 4×4 times."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    lr = np.stack([rows, columns, rows ^ columns], axis=2)
    return TrainingPair("coordinates", lr, lr.repeat(4, axis=0).repeat(4, axis=1))


@settings(max_examples=50, deadline=None)
@given(st.integers(6, 40), st.integers(6, 40), st.integers(1, 6), st.integers(0, 2**32), st.integers(0, 10**6))
def test_lr_and_hr_patches_show_the_same_place_in_the_same_orientation(height, width, patch, seed, step):
    lr, hr = Patches([coordinates(height, width)], 3, patch, seed).at(step)
    assert lr.shape == (3, 3, patch, patch)
    assert hr.shape == (3, 3, 4 * patch, 4 * patch)
    assert torch.equal(lr.repeat_interleave(4, 2).repeat_interleave(4, 3), hr)


def test_lr_is_the_downscaled_image_at_the_patchs_place(here):
    pairs = read_pairs("images", "data_root", 8)
    for pair in pairs:
        hr = read_rgb(Path("images") / pair.name)
        assert np.array_equal(pair.hr, hr)
        assert np.array_equal(pair.lr, bicubic_downscale(hr))
    whole = Patches(pairs[:1], 1, 16, seed=0)
    lr, _ = whole.at(0)
    upright = [np.rot90(pairs[0].lr, turns) for turns in range(4)]
    orientations = [*upright, *(image[:, ::-1] for image in upright)]
    assert any(np.array_equal(lr[0].permute(1, 2, 0), image) for image in orientations)


def test_every_orientation_and_every_place_is_seen():
    patches = Patches([coordinates(6, 7)], 64, 4, seed=0)
    corners = {
        (tuple(lr[:2, 0, 0].tolist()), tuple(lr[:2, 0, 3].tolist()), tuple(lr[:2, 3, 0].tolist()))
        for step in range(20)
        for lr in patches.at(step)[0]
    }
    assert len(corners) == 8 * 3 * 4  # orientations × rows × columns


def test_larger_images_are_seen_more_often():
    small, large = coordinates(8, 8), coordinates(40, 40)
    small.lr[..., 2] = 255
    seen = torch.cat([Patches([small, large], 16, 8, seed=0).at(step)[0] for step in range(20)])
    assert (seen[:, 2, 0, 0] != 255).float().mean() > 0.95


def test_a_batch_depends_on_seed_and_step_alone():
    def batch(seed: int, step: int) -> torch.Tensor:
        return Patches([coordinates(20, 20)], 4, 5, seed).at(step)[1]

    assert torch.equal(batch(1, 7), batch(1, 7))
    assert not torch.equal(batch(1, 7), batch(1, 8))
    assert not torch.equal(batch(1, 7), batch(2, 7))


def test_the_digest_of_the_images_knows_their_shapes():
    tall, wide = (
        TrainingPair("", np.zeros((1, 1, 3), np.uint8), np.zeros(s, np.uint8)) for s in [(8, 4, 3), (4, 8, 3)]
    )
    assert digest([tall]) != digest([wide])


# The recipe


def test_the_cosine_rises_through_its_warm_up_and_ends_at_nothing():
    phase = PhaseConf(steps=1000, lr=2e-3, warmup=10)
    rates = [learning_rate(phase, step) for step in range(1000)]
    assert rates[0] == pytest.approx(2e-4)
    assert rates[:10] == sorted(rates[:10])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert learning_rate(PhaseConf(steps=1000, lr=2e-3), 500) == pytest.approx(1e-3)
    assert 0 < rates[-1] < 1e-8


def test_halving_halves_and_a_constant_stays():
    halving = PhaseConf(steps=100, lr=1.0, schedule="halving", halve_every=40)
    assert [learning_rate(halving, step) for step in (0, 39, 40, 80)] == [1.0, 1.0, 0.5, 0.25]
    assert learning_rate(PhaseConf(steps=100, lr=0.5, schedule="constant"), 99) == 0.5


def test_each_phase_has_its_own_loss_and_its_own_rate():
    conf = TrainConf(l1=PhaseConf(steps=2, lr=1.0, schedule="constant"), l2=PhaseConf(steps=1, lr=0.1))
    assert [(recipe_step(conf, step).phase, recipe_step(conf, step).lr) for step in range(3)] == [
        ("l1", 1.0),
        ("l1", 1.0),
        ("l2", 0.1),
    ]
    assert [recipe_step(conf, step).begins for step in range(3)] == [True, False, True]


@pytest.mark.parametrize(("phase", "expected"), [("l1", 0.1), ("l2", 0.01)])
def test_the_loss_does_not_depend_on_the_networks_range(phase, expected):
    sr, hr = torch.full((1, 3, 4, 4), 0.6), torch.full((1, 3, 4, 4), 0.5)
    assert float(loss(phase, sr, hr, 1.0)) == pytest.approx(expected)
    assert float(loss(phase, 255 * sr, 255 * hr, 255.0)) == pytest.approx(expected)


def test_the_average_follows_the_weights_quickly_at_first_and_slowly_later():
    network, own = torch.nn.BatchNorm2d(1), torch.nn.BatchNorm2d(1)
    with torch.no_grad():
        network.weight.fill_(0.0)
    average = Average(network, own, decay=0.99)
    with torch.no_grad():
        network.weight.fill_(1.0)
        network.running_mean.fill_(5.0)
    average.update(steps_done=1)
    assert float(average.network.weight) == pytest.approx(1 - 2 / 11)
    before = float(average.network.weight)
    average.update(steps_done=10**6)
    assert float(average.network.weight) == pytest.approx(before + 0.01 * (1 - before))
    assert float(average.network.running_mean) == 5.0


def test_training_learns(here):
    l1 = PhaseConf(steps=150, lr=5e-3)
    short = train(out="run", l1=l1, l2=PhaseConf(), validate_root="images", validate_every=50)
    before, *_, after = [float(row["psnr_y"]) for row in log_of("run") if row["psnr_y"]]
    assert after > before
    assert short.quality is not None
    assert short.quality.psnr_y == pytest.approx(after, abs=1e-3)


# Where it starts and what comes out


def test_starting_from_an_interpolation_gives_nearly_that():
    lr = np.tile(np.arange(40, 240, 10, dtype=np.uint8)[:, None, None], (1, 20, 3))

    def error(network: IMDN) -> float:
        difference = inference.super_resolve(network, lr).astype(float) - bicubic_upscale(lr)
        return float(np.sqrt(np.mean(difference[16:-16, 16:-16] ** 2)))

    torch.manual_seed(0)
    network = IMDN(channels=16, distilled_channels=4, num_blocks=2)
    before = error(network)
    start.interpolate(network, "imdn")
    assert error(network) < before / 5


def test_the_interpolation_follows_a_parabola_exactly():
    taps = start.quadratic_taps().double()
    assert torch.allclose(taps.sum(dim=(1, 2)), torch.ones(16, dtype=torch.float64))
    neighbours = torch.tensor([-1.0, 0.0, 1.0]).double()
    offsets = torch.tensor([-0.375, -0.125, 0.125, 0.375]).double()
    squares = (taps * (neighbours**2)[None, None]).sum(dim=(1, 2)).reshape(4, 4)
    assert torch.allclose(squares, (offsets**2)[None].expand(4, 4))


def test_a_network_without_a_long_skip_connection_cannot_start_from_an_interpolation(here):
    with pytest.raises(ConfigError, match=r"init=interpolation: tiny is not built from .*init=short"):
        train(init="interpolation")
    assert train(init="short").steps == 30


def test_fine_tuning_starts_from_the_given_weights(here):
    first = train(out="first")
    tuned = train(out="tuned", init=str(first.weights), l1=PhaseConf(steps=1, lr=1e-9), l2=PhaseConf())
    for name, value in load_file(first.weights).items():
        assert torch.allclose(load_file(tuned.weights)[name], value, atol=1e-6)


def test_fine_tuning_from_other_weights_is_another_run(here):
    one, other = train(out="one"), train(out="other", seed=1)
    train(out="tuned", init=str(one.weights))
    with pytest.raises(ConfigError, match="SHA-256 of the weights in init is"):
        train(out="tuned", init=str(other.weights))


@pytest.mark.parametrize("precision", ["float16", "float32"])
def test_saved_weights_load_as_any_others(here, precision):
    trained = train(save_as=precision)
    model = tiny().model
    network = networks.build(model)
    networks.load(network, model, zoo.resolve(model, str(trained.weights)))
    state = torch.load(trained.weights.with_name("checkpoint.pt"), weights_only=True)["average"]
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name].to(getattr(torch, precision)).float())


def test_weights_that_the_precision_cannot_hold_are_refused(tmp_path):
    network = torch.nn.Linear(1, 1)
    with torch.no_grad():
        network.weight.fill_(1e5)
    with pytest.raises(WeightsError, match="weight does not fit float16: pass save_as=float32"):
        checkpoint.export(network, tmp_path / "a.safetensors", "float16", {})
    assert list(tmp_path.iterdir()) == []
    checkpoint.export(network, tmp_path / "a.safetensors", "float32", {"steps": "3"})
    other = torch.nn.Linear(1, 1)
    load_weights(other, tmp_path / "a.safetensors", CheckpointConf())
    assert torch.equal(other.weight, network.weight)
