"""Thirty steps of training a tiny network, for the tests of training."""

import csv
from pathlib import Path

import torch

from esr.config.schema import DeviceConf, ModelConf
from esr.training import loop
from esr.training.config import PhaseConf, TrainConf

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


def tiny(**changes: object) -> TrainConf:
    """Configuration of the same thirty steps without Hydra, whose composition takes longer than the training."""
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
