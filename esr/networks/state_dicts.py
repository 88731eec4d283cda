"""State dicts: renamed, and loaded completely or not at all."""

import math
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from esr.config.schema import CheckpointConf
from esr.errors import ConfigError, WeightsError
from esr.networks.misfits import misfits
from esr.networks.strict_load import Misfit, fits, load_strictly, own_entries
from esr.networks.weight_files import (
    Versions,
    WeightFile,
    matcher,
    patterns_limit,
    read_weights,
    renamed,
    without_prefix,
)
from esr.text import listed


@dataclass(frozen=True)
class _Reading:
    """One way to read a file's names."""

    state: dict[str, Tensor]
    ruled: bool = False
    """By `checkpoint.drop` and `checkpoint.rename`."""
    versions: Versions | None = None


def to_own_names(state: Mapping[str, Tensor], checkpoint: CheckpointConf) -> dict[str, Tensor]:
    """The state dict under the network's own names, by the checkpoint's `drop` and `rename` tables.

    A key that matches a `drop` expression (`re.search`) is left out. The `rename` expressions are applied to every
    other key in the table's order (`re.sub`).

    Raises:
        ConfigError: A table holds an invalid regular expression or replacement.
        WeightsError: Two keys get the same name.
    """
    names: dict[str, str] = {}
    is_dropped = matcher(checkpoint)
    try:
        with patterns_limit():
            for key in state:
                if is_dropped(key):
                    continue
                names[key] = key
                for expression, replacement in checkpoint.rename.items():
                    names[key] = re.sub(expression, replacement, names[key])
    except re.error as error:
        fault = f"{error.pattern!r} is not a valid regular expression or replacement: {error}"
        raise ConfigError(f"checkpoint.rename: {fault}") from error
    return renamed(state, names, "checkpoint.rename")


def load_into(network: nn.Module, state: Mapping[str, Tensor], origin: str, versions: Versions | None = None) -> None:
    """Copies a state dict into a network: every entry, or none.

    The network's own `load_state_dict` decides, strictly; then every entry has to have been used, and every parameter
    set. Floating-point values are converted to the network's precision (float16 files become float32 parameters);
    integers stay integers. Infinities and NaN are refused, except an infinity that the network's constructor put in
    the same place (a mask).

    Args:
        network: On any device.
        state: Tensors under the network's own names.
        origin: The weights' name in errors, usually a path.
        versions: Of the modules' layouts, as torch saves them.

    Raises:
        WeightsError: Something does not fit; the network is unchanged.
    """
    own = own_entries(network)
    broken = [name for name, value in state.items() if not _is_sound(value, own.get(name))]
    if broken:
        dtype = own[broken[0]].dtype if broken[0] in own else state[broken[0]].dtype
        raise WeightsError(
            f"{origin}: {len(broken)} of {len(state)} entries hold infinities or NaN as {dtype} "
            f"({listed(broken)}): the training diverged or the file is damaged, use another checkpoint"
        )
    try:
        load_strictly(network, state, versions)
    except Misfit as error:
        raise WeightsError(f"{origin} does not fit {type(network).__name__}: {misfits(own, state) or error}") from error


def load_weights(
    network: nn.Module, path: Path, checkpoint: CheckpointConf, content: bytes | None = None, *, required: bool = True
) -> None:
    """Reads a weight file and loads it under whichever names it uses.

    A file with the network's own names is loaded as it is, any other through the checkpoint's tables; a prefix that
    all names share, such as `module.`, is removed in either case. Where no reading has exactly the network's names,
    the network itself decides: it may rename or fuse while it loads.

    Args:
        network: Changed in place.
        path: The file; with `content` only its name in errors.
        checkpoint: Describes the file.
        content: The file's bytes, where they have been read already.
        required: As in `read_weights`.

    Raises:
        WeightsError: As `read_weights`, `to_own_names` and `load_into`.
        ConfigError: As `to_own_names`.
    """
    file = read_weights(path, checkpoint, content, required=required)
    readings, collision = _readings(file, checkpoint)
    own = own_entries(network)
    taken = (one for one in readings if one.state and fits(network, one.state, one.versions) is None)
    if chosen := _by_name(readings, own, path) or next(taken, None):
        load_into(network, chosen.state, str(path), chosen.versions)
        return
    if collision:
        raise WeightsError(f"{path}: {collision}")
    nearest = max(readings, key=lambda one: (len(own.keys() & one.state.keys()), one.ruled))
    fault = misfits(own, nearest.state) or fits(network, nearest.state, nearest.versions)
    origin = f"{path}, {file.kind}," if file.kind else str(path)
    after = " (beside the drop and rename that are there; names as they are after them)" if nearest.ruled else ""
    raise WeightsError(f"{origin} does not fit {type(network).__name__}: {fault}{after}")


def _readings(file: WeightFile, checkpoint: CheckpointConf) -> tuple[list[_Reading], WeightsError | None]:
    """The file's names as they are and through the tables, each without the prefixes that all of them share."""
    readings, collision = [], None
    for unwrapped in _unwrapped(_Reading(file.state, versions=file.versions)):
        readings.append(unwrapped)
        if not (checkpoint.drop or checkpoint.rename):
            continue
        try:
            readings.append(_Reading(to_own_names(unwrapped.state, checkpoint), ruled=True))
        except WeightsError as error:
            collision = collision or error
    return readings, collision


def _unwrapped(reading: _Reading) -> Iterator[_Reading]:
    while True:
        yield reading
        prefixes = {name.partition(".")[0] if "." in name else None for name in reading.state}
        if len(prefixes) != 1 or None in prefixes:
            return
        state = {name.partition(".")[2]: value for name, value in reading.state.items()}
        reading = _Reading(state, versions=without_prefix(reading.versions, f"{prefixes.pop()}."))


def _by_name(readings: list[_Reading], own: Mapping[str, Tensor], path: Path) -> _Reading | None:
    """The reading with exactly the network's names."""
    fitting = [one for one in readings if one.state.keys() == own.keys()]
    if any(one.state[name] is not fitting[0].state[name] for one in fitting[1:] for name in own):
        raise WeightsError(
            f"{path} can be read in two ways, because checkpoint.rename maps the network's names onto each other: "
            "rename the network's entries, or remove the table"
        )
    return fitting[0] if fitting else None


def random_weights(network: nn.Module, seed: int = 0) -> None:
    """Fills a network with seeded random weights, the same on every device and with every version of torch.

    Each parameter and running statistic is drawn by NumPy from a generator seeded by `seed` and its name: with two or
    more dimensions from N(0, 1/fan-in), which preserves the scale of the features; with fewer near 1 (`weight`,
    `running_var`) or near 0. Other buffers are constants and remain.
    """
    entries: dict[str, Tensor] = dict(network.named_parameters())
    statistics = ("running_mean", "running_var")
    entries |= {name: buffer for name, buffer in network.named_buffers() if name.endswith(statistics)}
    with torch.no_grad():
        for name, entry in entries.items():
            if entry.is_floating_point():
                entry.copy_(torch.from_numpy(_draw(name, tuple(entry.shape), seed)))


def _draw(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    z = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape)
    if len(shape) > 1:
        values = z / math.sqrt(max(1, math.prod(shape[1:])))
    elif name.endswith("running_var"):
        values = 1 + 0.1 * np.abs(z)
    elif name.endswith("weight"):
        values = 1 + 0.1 * z
    else:
        values = 0.02 * z
    return np.asarray(values, dtype=np.float32)


def _is_sound(value: Tensor, own: Tensor | None) -> bool:
    if own is None or own.shape != value.shape:
        return bool(torch.isfinite(value).all())
    converted = value.detach().to(own.dtype) if own.is_floating_point() and value.is_floating_point() else value
    return bool((torch.isfinite(converted) | (converted == own.cpu())).all())
