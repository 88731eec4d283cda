"""Set5 with the published weights: the whole chain from files to decibels, against the reference's means."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from esr.cards import folder
from esr.config import DataConf, ModelConf
from esr.datasets import load_dataset
from esr.inference import super_resolve
from esr.networks import build, load
from esr.quality import mean_quality, measure
from esr.zoo import WeightsFile

KEYS = {"imdn": "imdn", "rfdn": "rfdn", "fmen": "team03", "rlfn": "team04"}


@pytest.mark.parametrize("name", KEYS)
def test_set5_agrees_to_a_thousandth_of_a_decibel(name: str, reference: Path) -> None:
    expected = json.loads((reference / "facts.json").read_text())[KEYS[name]]["set5"]
    merged = OmegaConf.merge(OmegaConf.structured(ModelConf), OmegaConf.load(folder() / f"{name}.yaml"))
    model = OmegaConf.to_object(merged)
    assert isinstance(model, ModelConf)
    network = build(model)
    load(network, model, WeightsFile("path", reference / "model_zoo" / str(model.checkpoint.file)))
    pairs = load_dataset(DataConf(name="set5", root=str(reference / "set5"))).pairs
    mean = asdict(mean_quality([measure(super_resolve(network, pair.lr()), pair.hr()) for pair in pairs]))
    for figure, value in expected.items():
        assert mean[figure] == pytest.approx(value, abs=1e-3 if "psnr" in figure else 1e-5)
