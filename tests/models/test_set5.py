"""Set5 with the published weights: the whole chain from files to decibels, against the reference's means."""

import json
from pathlib import Path

import pytest
from helpers.cases import with_slow
from helpers.synthetic import configurations, reference_name
from omegaconf import OmegaConf

from esr.config.schema import DataConf, ModelConf
from esr.data.datasets import load_dataset
from esr.images.quality import mean_quality, measure
from esr.networks.build import build, load
from esr.networks.inference import super_resolve
from esr.records.network import Weights

NETWORKS = configurations()


@pytest.mark.parametrize("name", with_slow(NETWORKS, {"nlffc"}))
def test_set5_agrees_to_a_thousandth_of_a_decibel(name: str, reference: Path) -> None:
    expected = json.loads((reference / "facts.json").read_text())[reference_name(NETWORKS[name])].get("set5")
    if expected is None:
        pytest.skip("the reference data has no published weights of this network")
    model = OmegaConf.to_object(NETWORKS[name])
    assert isinstance(model, ModelConf)
    network = build(model)
    load(network, model, Weights("path", str(reference / "model_zoo" / str(model.checkpoint.file))))
    pairs = load_dataset(DataConf(name="set5", root=str(reference / "set5"))).pairs
    mean = mean_quality([measure(super_resolve(network, pair.lr()), pair.hr()) for pair in pairs])
    for figure, value in expected.items():
        assert getattr(mean, figure) == pytest.approx(value, abs=1e-3 if "psnr" in figure else 1e-5)
