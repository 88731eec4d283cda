"""An honest corpus: every shipped network, and one that torch compiles, of which none may be suspected."""

import json
import os
import shutil
from pathlib import Path

import pytest
from helpers.paths import REFERENCE
from PIL import Image

import esr
from esr.config.cards import model_names
from esr.config.compose import compose

OF_THE_MACHINE = {"warmup_cap", "host_load", "precision_not_reached", "rounds_dependent"}
"""Reasons that a busy machine gives, whatever the network."""
PIECE = (64, 64, 256, 224)
"""Left, top, right and bottom of the photograph that is measured, in HR pixels."""
COMPILED = """
import torch
from torch import nn


class Compiled(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.GELU(), nn.Conv2d(16, 48, 3, padding=1), nn.PixelShuffle(4)
        )
        self.fast = torch.compile(self.layers, dynamic=True)

    def forward(self, x):
        return self.layers(x) if x.device.type == "meta" else self.fast(x)
"""


@pytest.fixture
def images(tmp_path):
    """A folder with one small photograph."""
    demo = Path(esr.__file__).parent / "data" / "demo" / "astronaut.png"
    (tmp_path / "images").mkdir()
    Image.open(demo).crop(PIECE).save(tmp_path / "images" / "piece.png")
    return tmp_path


def suspicions(run):
    """Taints of both networks that are not the machine's."""
    assert run.code == 0, run.err
    verdict = json.loads(run.records[-1].read_text())["verdict"]
    return [one for one in verdict["reasons"] if one["severity"] == "taint" and one["reason"] not in OF_THE_MACHINE]


WORDS = ("data=folder", "data.root=images", "timing=quick", "device=cpu", "device.threads=1", "telemetry=off")


@pytest.mark.skipif(os.environ.get("ESR_TEST_HONEST") != "1", reason="five minutes; make test-honest")
@pytest.mark.parametrize("name", model_names())
def test_a_shipped_network_is_not_suspected(run_esr, images, name, monkeypatch):
    published = REFERENCE / "model_zoo"
    file = compose([f"model={name}"]).model.checkpoint.file
    weights = [] if (published / str(file)).is_file() else ["weights=random"]
    monkeypatch.setenv("ESR_ZOO", str(published))
    words = [f"model={name}", "baseline=rlfn", *weights, *WORDS, "timing.rounds=2"]
    assert suspicions(run_esr(*words, cwd=images)) == []


@pytest.mark.skipif(os.environ.get("ESR_TEST_HONEST") != "1", reason="a minute of compiling; make test-honest")
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a C++ compiler")
def test_a_compiled_network_is_not_suspected(run_esr, images):
    (images / "compiled.py").write_text(COMPILED)
    (images / "compiled.yaml").write_text("_target_: compiled.Compiled\n")
    words = ("model=compiled.yaml", "baseline=compiled.yaml", "weights=random", "baseline_weights=random")
    assert suspicions(run_esr(*words, *WORDS, "timing.rounds=2", cwd=images, fresh=True)) == []
