"""Weight files of a network as small as a network can be, and the lines in which reading them ends."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from esr.config.schema import CheckpointConf
from esr.errors import WeightsError
from esr.networks.state_dicts import random_weights
from esr.networks.weight_files import read_weights

PLAIN = CheckpointConf()


class Net(nn.Module):
    """Two convolutions and a batch normalisation, as small as a network can be."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, channels, 3)
        self.norm = nn.BatchNorm2d(channels)
        self.tail = nn.Conv2d(channels, 3, 1)


class Masked(nn.Module):
    """A network with an infinite constant, as attention masks are."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))


def filled(network: nn.Module | None = None, seed: int = 1) -> dict[str, Tensor]:
    network = network or Net()
    random_weights(network, seed)
    return {name: value.clone() for name, value in network.state_dict().items()}


def save(path: Path, content: object, *, old: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    return path


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def refusal(action: Callable[[], object]) -> str:
    with pytest.raises(WeightsError) as caught:
        action()
    line = str(caught.value)
    assert "\n" not in line
    assert "\x1b" not in line
    return line


def read_state_dict(path: Path, checkpoint: CheckpointConf, *, required: bool = True) -> dict[str, Tensor]:
    return read_weights(path, checkpoint, required=required).state


def reading(path: Path, checkpoint: CheckpointConf = PLAIN) -> str:
    """The line in which reading a file ends."""
    line = refusal(lambda: read_state_dict(path, checkpoint))
    assert str(path) in line
    return line
