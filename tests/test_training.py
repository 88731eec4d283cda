"""The training recipe: what a network sees, how it learns, and that an interrupted run loses nothing."""

import csv
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

from esr import inference, networks, quality, zoo
from esr.commands.train import main
from esr.config import CheckpointConf, DataConf, DeviceConf, ModelConf
from esr.datasets import load_dataset
from esr.errors import ConfigError, DataError, DeviceError, EsrError, WeightsError
from esr.images import bicubic_downscale, bicubic_upscale, read_rgb
from esr.models.imdn import IMDN
from esr.training import checkpoint, loop, start
from esr.training.config import PhaseConf, TrainConf, check_values, compose
from esr.training.data import Patches, TrainingPair, digest, read_pairs
from esr.training.recipe import Average, learning_rate, loss, moment
from esr.weights import load_weights

ROOT = Path(__file__).resolve().parents[1]
BUNDLED = sorted((ROOT / "model_zoo").glob("*.safetensors"))

THIRTY_STEPS = (
    "model=tiny.yaml",
    "data_root=images",
    "device=cpu",
    "device.threads=1",
    "batch=2",
    "patch=8",
    "l1.steps=20",
    "l1.lr=1e-3",
    "l2.steps=10",
    "l2.lr=1e-3",
    "checkpoint_every=7",
    "log_every=5",
    "save_as=float32",
)
"""Thirty steps of a tiny network, with the change of phase and the checkpoints at different steps."""


@pytest.fixture
def here(participant, monkeypatch):
    """The participant's folder, as the working directory."""
    monkeypatch.chdir(participant)
    return participant


def tiny(**changes: object) -> TrainConf:
    """The same thirty steps without Hydra, which takes longer to compose them than torch to do them."""
    return TrainConf(
        **{
            "model": ModelConf(_target_="tiny.Tiny", name="tiny", source=str(Path("tiny.yaml").resolve())),
            "data_root": "images",
            "device": DeviceConf(kind="cpu", threads=1),
            "batch": 2,
            "patch": 8,
            "l1": PhaseConf(steps=20),
            "l2": PhaseConf(steps=10),
            "checkpoint_every": 7,
            "log_every": 5,
            "save_as": "float32",
            **changes,
        }
    )


def train(**changes: object) -> loop.Trained:
    return loop.train(tiny(**changes))


ONE_STEP = {"l1": PhaseConf(steps=1), "l2": PhaseConf()}


def log_of(folder: str) -> list[dict[str, str]]:
    with (Path(folder) / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# An interrupted run


KILLED = """
import os, signal, sys
from esr.commands.train import main
from esr.training.data import Patches
batch_at = Patches.at

def killed_at_17(self, step):
    if step == 17:
        os.kill(os.getpid(), signal.SIGKILL)
    return batch_at(self, step)

Patches.at = killed_at_17
main(sys.argv[1:])
"""


def test_a_killed_run_goes_on_to_the_same_weights_bit_for_bit(here):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *THIRTY_STEPS, "out=killed"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert torch.load("killed/checkpoint.pt", weights_only=True)["step"] == 14

    resumed, whole = (loop.train(compose([*THIRTY_STEPS, f"out={out}"])) for out in ("killed", "whole"))
    assert resumed.steps == whole.steps == 30
    assert same(load_file(resumed.weights), load_file(whole.weights))
    one, other = (torch.load(f"{out}/checkpoint.pt", weights_only=True) for out in ("killed", "whole"))
    assert same(one["network"], other["network"])
    assert [row["step"] for row in log_of("killed")] == [row["step"] for row in log_of("whole")]


@pytest.mark.parametrize("step", [3, 20, 25])
def test_an_exception_between_steps_loses_nothing_either(here, monkeypatch, step):
    batch_at = Patches.at

    def interrupted(self, at):
        if at == step:
            raise KeyboardInterrupt
        return batch_at(self, at)

    with monkeypatch.context() as patched:
        patched.setattr(Patches, "at", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(out="cut", checkpoint_every=5)
    assert same(
        load_file(train(out="cut", checkpoint_every=5).weights), load_file(train(out="whole").weights)
    )


def test_every_checkpoint_comes_with_its_averaged_weights(here, monkeypatch):
    monkeypatch.setattr(loop.recipe, "loss", lambda *_: torch.tensor(math.nan))
    with pytest.raises(loop.TrainingError, match=r"the loss is nan at step 0; lower l1\.lr=0\.001"):
        train(out="diverged")
    state = torch.load("diverged/checkpoint.pt", weights_only=True)
    assert same(load_file("diverged/tiny.safetensors"), state["average"])


def test_a_finished_run_is_not_trained_again(here):
    first = train(out="done")
    again = train(out="done")
    assert again.steps == first.steps
    assert same(load_file(first.weights), load_file(again.weights))


def test_where_files_go_and_how_often_they_are_written_does_not_make_it_another_run(here, monkeypatch):
    monkeypatch.setenv("ESR_OUT", "results")
    first = train()
    assert first.weights == Path("results/outputs/training/tiny/tiny.safetensors")
    Path("results/outputs/training/tiny").rename("moved")
    Path("images").rename("pictures")
    train(out="moved", data_root="pictures", checkpoint_every=11, validate_root="pictures")


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"l1": PhaseConf(steps=1, lr=5e-4)}, "l1.lr is 0.001 there and 0.0005 here"),
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"model": ModelConf(_target_="tiny.Tiny", name="tiny", args={"channels": 4})}, r"model\.args is"),
        (
            {"model": ModelConf(_target_="esr.models.imdn.IMDN", name="imdn")},
            "model is tiny there and imdn here",
        ),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(here, change, difference):
    train(out="mine", **ONE_STEP)
    with pytest.raises(ConfigError, match=difference):
        train(out="mine", **{**ONE_STEP, **change})


def test_a_checkpoint_of_other_images_is_refused(here):
    train(out="mine", **ONE_STEP)
    Path("images/0.png").unlink()
    with pytest.raises(ConfigError, match="SHA-256 of the images in data_root is"):
        train(out="mine", **ONE_STEP)


def test_a_damaged_checkpoint_is_refused(here):
    Path("mine").mkdir()
    Path("mine/checkpoint.pt").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(WeightsError, match=r"mine/checkpoint.pt is damaged .*; move it away"):
        train(out="mine")


def test_weights_that_no_run_left_there_are_not_overwritten(here):
    first = train(out="first", **ONE_STEP)
    Path("zoo").mkdir()
    kept = first.weights.rename("zoo/tiny.safetensors").read_bytes()
    with pytest.raises(ConfigError, match=r"zoo/tiny\.safetensors is there without the checkpoint"):
        train(out="zoo")
    assert Path("zoo/tiny.safetensors").read_bytes() == kept


def test_a_checkpoint_of_another_version_is_refused(here, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "VERSION", 0)
        train(out="old", **ONE_STEP)
    with pytest.raises(WeightsError, match="is a checkpoint of version 0, not 1; move it away"):
        train(out="old", **ONE_STEP)


# What a network sees


def coordinates(height: int, width: int) -> TrainingPair:
    """A pair whose LR pixels say where they are, and whose HR repeats each of them 4×4 times."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    lr = np.stack([rows, columns, rows ^ columns], axis=2)
    return TrainingPair("coordinates", lr, lr.repeat(4, axis=0).repeat(4, axis=1))


@settings(max_examples=50, deadline=None)
@given(
    st.integers(6, 40), st.integers(6, 40), st.integers(1, 6), st.integers(0, 2**32), st.integers(0, 10**6)
)
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
    assert [(moment(conf, step).phase, moment(conf, step).lr) for step in range(3)] == [
        ("l1", 1.0),
        ("l1", 1.0),
        ("l2", 0.1),
    ]
    assert [moment(conf, step).begins for step in range(3)] == [True, False, True]


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
    network = IMDN(channels=16, kept=4, blocks=2)
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
    with pytest.raises(ConfigError, match="init=interpolation: tiny has no long skip connection"):
        train(init="interpolation")


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


# Mistakes


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("l1.step=5", r"l1\.step=5: no such key l1\.step; did you mean .*l1\.steps"),
        ("timing.rounds=5", r"timing\.rounds=5: no such key"),
        ("fast", r"fast: an override is written KEY=VALUE"),
        ("batch=many", r"batch=many: .*many"),
        ("train=gpu", r"train=gpu: no such choice; .*cpu"),
        ("model=imdm", r"model=imdm: no such choice; did you mean imdn"),
        ("device=toaster", r"device=toaster: no such choice"),
        ("l1.schedule=cosin", r"l1\.schedule=cosin: no such choice; did you mean cosine\?"),
    ],
)
def test_a_wrong_override_ends_in_one_line(here, override, line):
    with pytest.raises(ConfigError, match=line) as caught:
        compose([*THIRTY_STEPS, override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"batch": 0}, r"batch=0: must be at least 1"),
        ({"device": DeviceConf(threads=0)}, r"device\.threads=0: must be at least 1"),
        ({"device": DeviceConf(index=-1)}, r"device\.index=-1: must be 0 or more"),
        ({"seed": -1}, r"seed=-1: must be 0 or more"),
        ({"ema": 1.0}, r"ema=1\.0: must be"),
        ({"l1": PhaseConf(steps=1, lr=0.0)}, r"l1\.lr=0\.0: must be positive"),
        ({"l2": PhaseConf(steps=-1)}, r"l2\.steps=-1: must be at least 0"),
        ({"l1": PhaseConf(), "l2": PhaseConf()}, r"l1\.steps=0 l2\.steps=0: nothing to train"),
        ({"save_as": "float64"}, r"save_as=float64: no such choice"),
    ],
)
def test_a_value_out_of_range_is_refused(change, line):
    with pytest.raises(ConfigError, match=line):
        check_values(tiny(**change))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"init": "imagenet"}, r"init=imagenet: no such file, and no such choice"),
        ({"data_root": "nowhere"}, r"data_root=nowhere is not there; pass a folder of HR images"),
        ({"data_root": "tiny.py"}, r"data_root=tiny\.py is a file, not a folder"),
        ({"data_root": "."}, r"data_root=\. holds no PNG"),
        ({"validate_root": "."}, r"validate_root=\. holds no PNG"),
        ({"patch": 17}, r"0\.png of 64×64 px in data_root is too small: HR has to be at least 68×68"),
        ({"out": "tiny.py"}, r"cannot write tiny\.py/tiny\.safetensors"),
    ],
)
def test_what_is_not_there_or_does_not_fit_is_named_before_anything_is_written(here, change, line):
    before = sorted(here.rglob("*"))
    with pytest.raises(EsrError, match=line):
        train(**change)
    assert [path for path in sorted(here.rglob("*")) if "__pycache__" not in path.parts] == before


def test_without_a_network_or_images_there_is_nothing_to_train():
    with pytest.raises(ConfigError, match="no network chosen: add model=NAME"):
        compose(["data_root=images"])
    with pytest.raises(ConfigError, match="no images to learn from: add data_root=FOLDER"):
        compose(["model=imdn"])


def test_a_damaged_image_is_named(here):
    Path("images/1.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"images/1\.png"):
        train()


def test_a_gpu_that_is_not_there_is_refused(here):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(DeviceError, match=r"device=cuda: .*; use device=cpu"):
        train(device=DeviceConf(kind="cuda"))


# The command and its recipes


def test_the_command_says_what_it_does_and_where_the_weights_are(here, capsys):
    assert main([*THIRTY_STEPS, "validate_root=images", "out=run"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "3 images, 30 steps, on cpu, into run"
    assert out[1].startswith("step 5: l1 ")
    assert out[-1].startswith("run/tiny.safetensors: 30 steps in 0.00 h, ")
    assert sorted(os.listdir("run")) == ["checkpoint.pt", "log.csv", "tiny.safetensors"]


def test_help_shows_the_recipes(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "train=cpu" in capsys.readouterr().out


@pytest.mark.parametrize("recipe", sorted(file.stem for file in (ROOT / "conf" / "train").glob("*.yaml")))
def test_every_shipped_recipe_composes(recipe):
    conf = compose(["model=imdn", "data_root=images", f"train={recipe}"])
    assert conf.steps > 0


# The weights that ship


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_bundled_weights_are_small_described_and_better_than_bicubic(path):
    assert path.stat().st_size < 4e6
    assert path.stem in (ROOT / "model_zoo" / "README.md").read_text()
    model: ModelConf = compose([f"model={path.stem}", "data_root=images"]).model
    network = networks.build(model)
    networks.load(network, model, zoo.resolve(model, "bundled"))
    demo = load_dataset(DataConf(name="demo", kind="demo"))
    for pair in demo.pairs:
        sr = inference.super_resolve(network, pair.lr())
        gained = quality.psnr(sr, pair.hr()) - quality.psnr(bicubic_upscale(pair.lr()), pair.hr())
        assert gained > 0.2, f"{pair.name}: {gained:.2f} dB over bicubic"


def test_images_of_any_format_and_size_are_taken(tmp_path):
    Image.fromarray(np.zeros((35, 50, 3), np.uint8)).save(tmp_path / "a.bmp")
    (tmp_path / "notes.txt").write_text("no image")
    (pair,) = read_pairs(str(tmp_path), "data_root", 8)
    assert (pair.hr.shape, pair.lr.shape) == ((32, 48, 3), (8, 12, 3))
