"""Weights that anyone can regenerate: every value follows from the published name and shape of its entry.

The recipe is that of the reference data: seed a generator with the CRC-32 of the published key, draw a
standard normal in float32, and scale it so that signals neither die out nor explode.
"""

import copy
import itertools
import json
import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypedDict, cast

import numpy as np
import numpy.typing as npt
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from esr.config.schema import CheckpointConf, ModelConf
from esr.networks.state_dicts import load_into, to_own_names

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = Path(__file__).with_name("synthetic_samples.json")
SAMPLED = 64
"""Output values that are committed for each network."""

Shapes = Mapping[str, Sequence[int]]
Array = npt.NDArray[np.float32]


class Sample(TypedDict):
    """Committed facts about one network's synthetic output."""

    shapes: dict[str, list[int]]
    """Published floating-point entries; keys are templates for `expand`."""
    range: float
    """Largest less smallest value of the reference's output."""
    values: list[float]
    """The reference's output at the positions that `sample` takes."""


@cache
def configurations() -> dict[str, ModelConf]:
    """Every network of the challenge in `conf/model`, by the name of its YAML."""
    found = {}
    for path in sorted((ROOT / "conf" / "model").glob("*.yaml")):
        merged = OmegaConf.merge(OmegaConf.structured(ModelConf), OmegaConf.load(path))
        if merged.team_id is not None:
            found[path.stem] = cast(ModelConf, merged)
    return found


def reference_name(model: ModelConf) -> str:
    """Name of a network in the reference data: the baselines by their names, the others by their teams."""
    return {-1: "imdn", 0: "rfdn"}.get(model.team_id or 0, f"team{model.team_id:02d}")


def draw(key: str, shape: Sequence[int]) -> Tensor:
    """The synthetic value of one floating-point entry."""
    generator = np.random.default_rng(zlib.crc32(key.encode()))
    z = torch.from_numpy(np.asarray(generator.standard_normal(tuple(shape)))).float()
    if key.endswith("running_var"):
        return 1 + 0.1 * z.abs()
    if len(shape) > 1:
        return z / math.sqrt(math.prod(shape[1:]))
    return 1 + 0.1 * z if key.endswith("weight") else 0.02 * z


def load_synthetic(network: nn.Module, checkpoint: CheckpointConf, shapes: Shapes) -> None:
    """Fills a network through its checkpoint's rename table; integer entries stay as constructed."""
    drawn = to_own_names({key: draw(key, shape) for key, shape in shapes.items()}, checkpoint)
    constructed = {name: value for name, value in network.state_dict().items() if not value.is_floating_point()}
    load_into(network, constructed | drawn, "the synthetic weights")


def published_entries(graph: str) -> Iterator[tuple[str, list[int], bool]]:
    """Key, shape and whether it is floating-point: each entry listed in a graph file of the reference."""
    for line in graph.split("## ")[1].splitlines()[1:]:
        if line:
            key, shape, dtype = line.split("\t")
            yield key, json.loads(shape), dtype.startswith("float")


def published_state(graph: str, network: nn.Module, checkpoint: CheckpointConf) -> dict[str, Tensor]:
    """The synthetic state dict under its published names, integers as the network's constructor made them."""
    own = network.state_dict()
    state: dict[str, Tensor] = {}
    for key, shape, floating in published_entries(graph):
        if floating:
            state[key] = draw(key, shape)
        else:
            for name in to_own_names({key: torch.empty(0)}, checkpoint):  # none if it is dropped
                state[key] = own[name]
    return state


def image() -> npt.NDArray[np.uint8]:
    """The 1×3×37×53 image that all synthetic outputs of the reference data start from."""
    return np.random.default_rng(7).integers(0, 256, (1, 3, 37, 53), dtype=np.uint8)


def to_input(pixels: npt.NDArray[np.uint8], model: ModelConf) -> Tensor:
    """An 8-bit image in the network's own data range."""
    return torch.from_numpy(pixels).float() / 255 * model.data_range


def sample(output: Array) -> Array:
    """The values at the positions that are committed."""
    return output.ravel()[np.random.default_rng(0).choice(output.size, SAMPLED, replace=False)]


def committed_samples() -> dict[str, Sample]:
    """The committed samples by the names of the networks' YAMLs."""
    samples: dict[str, Sample] = json.loads(SAMPLES.read_text())
    return samples


def expand(templates: Shapes) -> dict[str, list[int]]:
    """Keys and shapes from templates in which `{0-2,5}` stands for each of 0, 1, 2 and 5.

    >>> expand({"B{1-2}.bias": [8]})
    {'B1.bias': [8], 'B2.bias': [8]}
    """
    return {key: list(shape) for template, shape in templates.items() for key in _keys(template)}


def _keys(template: str) -> Iterator[str]:
    parts = re.split(r"\{(.*?)\}", template)
    choices = [_numbers(part) if index % 2 else [part] for index, part in enumerate(parts)]
    return map("".join, itertools.product(*choices))


def _numbers(ranges: str) -> list[str]:
    numbers = []
    for item in ranges.split(","):
        first, _, last = item.partition("-")
        numbers += [str(number) for number in range(int(first), int(last or first) + 1)]
    return numbers


def run(network: Callable[[Tensor], Tensor], x: Tensor) -> Array:
    with torch.inference_mode():
        output: Array = network(x).numpy()
    return output


def rounding(network: nn.Module, x: Tensor) -> float:
    """Difference that float32 alone may make: synthetic weights make some networks (ESAN, AALN) ill-conditioned.

    Either side may be twice as far from the exact output as the network is on this CPU.
    """
    exact = run(copy.deepcopy(network).double(), x.double())
    return 4 * float(np.abs(run(network, x) - exact).max())
