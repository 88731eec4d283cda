"""`model=spandrel`: the weight file tells the architecture."""

import importlib.util
from pathlib import Path

import pytest
import torch

from esr.config.cards import RECOGNISED
from esr.config.compose import compose
from esr.errors import NetworkError, WeightsError
from esr.networks import recognised
from esr.records.network import Weights


def test_the_choice_and_a_missing_file(tmp_path: Path) -> None:
    assert compose(["model=spandrel"]).model._target_ == RECOGNISED
    with pytest.raises(WeightsError, match="add weights=FILE to model=spandrel"):
        recognised.load(Weights("random"))


@pytest.mark.skipif(importlib.util.find_spec("spandrel") is not None, reason="spandrel is installed")
def test_without_the_package_one_line_names_it(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3, 3, 3, 3)}, tmp_path / "some.pth")
    with pytest.raises(NetworkError, match=r"pip install spandrel"):
        recognised.load(Weights("path", str(tmp_path / "some.pth")))


@pytest.mark.skipif(importlib.util.find_spec("spandrel") is None, reason="spandrel is not installed")
def test_a_file_that_is_not_recognised_is_refused(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(3, 3, 3, 3)}, tmp_path / "some.pth")
    with pytest.raises(WeightsError, match="spandrel cannot load it"):
        recognised.load(Weights("path", str(tmp_path / "some.pth")))
