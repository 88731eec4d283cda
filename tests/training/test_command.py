"""`esr train`: mistakes in one line, the shipped recipes, and the weights that were trained with them."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.training_runs import THIRTY_STEPS, tiny, train
from PIL import Image

from esr.cli.command import run
from esr.config.schema import DataConf, DeviceConf, ModelConf
from esr.data.datasets import load_dataset
from esr.errors import ConfigError, DataError, DeviceError, EsrError, NetworkError
from esr.images import quality
from esr.images.bicubic import bicubic_upscale
from esr.networks import build as networks
from esr.networks import inference
from esr.training import loop
from esr.training.config import PhaseConf, check_values, compose
from esr.training.data import read_pairs
from esr.zoo import weights as zoo

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = sorted((ROOT / "model_zoo").glob("*.safetensors"))


@pytest.fixture
def here(participant, monkeypatch):
    """The participant's folder, as the working directory."""
    monkeypatch.chdir(participant)
    return participant


# Mistakes


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("l1.step=5", r"l1\.step=5: no such key l1\.step; did you mean .*l1\.steps"),
        ("fp16=true", r"fp16=true: no such key fp16; networks are measured in float32"),
        (
            "lr=1e-3",
            r"lr=1e-3: no such key lr; did you mean l[12]\.lr or l[12]\.lr\?; esr config --train",
        ),
        ("model=imdn,rfdn", r"model=imdn,rfdn: one value at a time"),
        ("timing.rounds=5", r"timing\.rounds=5: no such key"),
        ("fast", r"fast: an override is written KEY=VALUE"),
        ("batch=many", r"batch=many: expected a whole number"),
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
        ({"seed": 2**64}, r"seed=1\.84467440737e\+19: must be at most 4294967295"),
        ({"batch": 10**8}, r"batch=100000000: must be at most 10000"),
        ({"l1": PhaseConf(steps=10**20)}, r"l1\.steps=1e\+20: must be at most 1e\+10|at most 10000000000"),
        ({"l2": PhaseConf(steps=1, lr=1e300)}, r"l2\.lr=1e\+300: must be at most 1000"),
        ({"model": ModelConf(_target_="tiny.Tiny", data_range=0)}, r"model\.data_range=0: must be at least 1e-06"),
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
        ({"init": ""}, r"init=: no such file, and no such choice"),
        ({"init": "images"}, r"init=images: no such file, and no such choice"),
        ({"init": "bundled"}, r"init=bundled: tiny has no bundled weights: pass init=scratch or init=PATH$"),
        ({"data_root": "nowhere"}, r"data_root=nowhere is not there; pass a folder of HR images"),
        ({"data_root": "tiny.py"}, r"data_root=tiny\.py is a file, not a folder"),
        ({"data_root": "."}, r"data_root=\. holds no PNG"),
        ({"validate_root": "."}, r"validate_root=\. holds no PNG"),
        ({"patch": 17}, r"0\.png of 64×64 px in data_root is too small: HR must be at least 68×68"),
        ({"out": "tiny.py"}, r"tiny\.py/checkpoint\.pt: cannot be written"),
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
    with pytest.raises(ConfigError, match="no images to train on: add data_root=FOLDER"):
        compose(["model=imdn"])


def test_a_damaged_image_is_named(here):
    Path("images/1.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"images/1\.png"):
        train()


def test_a_network_that_raises_in_training_is_named_with_its_step(here):
    model = ModelConf(_target_="tiny.Tiny", name="tiny", source="tiny.yaml", args={"fault": "raise", "after": 2})
    line = r"model=tiny: .*at step 2 on \(2, 3, 8, 8\) \(ValueError: the weather was bad\)"
    with pytest.raises(NetworkError, match=line):
        train(model=model)


def test_a_gpu_that_is_not_there_is_refused(here):
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(DeviceError, match=r"device=cuda: .*; use device=cpu"):
        train(device=DeviceConf(kind="cuda"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_months_on_a_cpu_that_nobody_asked_for_are_refused_before_anything_is_written(here, capsys):
    before = sorted(here.rglob("*"))
    words = [word for word in THIRTY_STEPS if word != "device=cpu" and not word.startswith("l1.steps")]
    with pytest.raises(EsrError, match=r"days for .* steps on this CPU: there is no GPU here; train=cpu is the recipe"):
        run(["train", *words, "l1.steps=9999999999"])
    assert [path for path in sorted(here.rglob("*")) if "__pycache__" not in path.parts] == before


def test_a_long_training_is_estimated_and_another_recipe_may_begin_in_its_place(here, capsys, monkeypatch):
    """As long as no step was saved: the remedy that the estimate names would be refused otherwise."""
    monkeypatch.setattr(loop._Run, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(["train", *(word for word in THIRTY_STEPS if not word.startswith("l1.steps")), "l1.steps=20000"])
    assert re.search(r"about .* for 20,010 steps on this CPU; train=cpu is the recipe", capsys.readouterr().out)
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert run(["train", *THIRTY_STEPS]) == 0
    with pytest.raises(ConfigError, match=r"belongs to another run: seed is 0 there and 7 here"):
        run(["train", *THIRTY_STEPS, "seed=7"])


def interrupted(_):
    raise KeyboardInterrupt


# The command and its recipes


def test_the_command_says_what_it_does_and_where_the_weights_are(here, capsys):
    assert run(["train", *THIRTY_STEPS, "validate_root=images", "out=run"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "3 images, 30 steps, on cpu, into run"
    assert out[1].startswith("step 5: l1 ")
    assert out[-1].startswith("run/tiny.safetensors: 30 steps in 0.00 h, ")
    assert sorted(os.listdir("run")) == ["checkpoint.pt", "log.csv", "tiny.safetensors"]


def test_help_shows_the_recipes(capsys):
    with pytest.raises(SystemExit):
        run(["train", "--help"])
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
