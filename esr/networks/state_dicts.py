"""State dicts: read from strangers' files without running them, renamed, and loaded all or nothing."""

import math
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from esr.config.schema import CheckpointConf
from esr.errors import ConfigError, WeightsError

SAVE_IT = "save it again with torch.save(network.state_dict(), PATH) or as safetensors"
NAMES_SHOWN = 3
NAME_WIDTH = 100
"""Characters of a name that errors show; a hostile file's names can be of any length."""
LOOKS_FOREIGN = 0.5
"""Below this share of the network's entries found in the file, the file is another network's."""


def read_state_dict(path: Path, checkpoint: CheckpointConf) -> dict[str, Tensor]:
    """The tensors of a weight file, on the CPU, under the names that the file gives them.

    The content decides how the file is read, not its suffix: safetensors, or PyTorch's zip or older pickle
    format with `weights_only=True`, so that nothing in the file is ever executed. The state dict is taken
    from under `checkpoint.state_dict_under`; where that is not in the file, from the top level, or from
    under the only key that holds one. `checkpoint.strip_prefix` is cut from the names that begin with it.

    Raises:
        WeightsError: the file is missing, damaged or something else, holds more than tensors, or holds
            several state dicts without `checkpoint.state_dict_under` saying which.
    """
    content = _read_safetensors(path) if _sniff(path) == "safetensors" else _read_torch(path)
    state = _find_state(content, checkpoint.state_dict_under, path)
    prefix = checkpoint.strip_prefix
    if not prefix:
        return state
    return _rename(state, {key: key.removeprefix(prefix) for key in state}, "checkpoint.strip_prefix")


def to_own_names(state: Mapping[str, Tensor], checkpoint: CheckpointConf) -> dict[str, Tensor]:
    """The state dict under the network's own names, by the checkpoint's `drop` and `rename` tables.

    A key in which a `drop` expression is found (`re.search`) is left out; each `rename` expression is then
    applied to every other key, in the table's order, with `re.sub`.

    Raises:
        ConfigError: a table holds something that is not a regular expression.
        WeightsError: two keys end up under one name.
    """
    names: dict[str, str] = {}
    for key in state:
        if any(_search(expression, key) for expression in checkpoint.drop):
            continue
        name = key
        for expression, replacement in checkpoint.rename.items():
            name = _substitute(expression, replacement, name)
        names[key] = name
    return _rename(state, names, "checkpoint.rename")


def load_into(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Copies a state dict into a network: every entry, or none.

    Names and shapes have to match both ways. Floating-point values are converted to the network's precision
    (float16 files become float32 parameters), integers stay integers. A value that is infinite or not a
    number is refused, unless the network's constructor put the very same infinity there (a mask).

    Args:
        network: on any device.
        state: tensors by the network's own names.
        origin: what errors call the weights, a path as a rule.

    Raises:
        WeightsError: something does not fit; the network is as it was.
    """
    own = {name: value for name, value in network.state_dict().items() if isinstance(value, Tensor)}
    misfits = _misfits(own, state)
    if misfits:
        raise WeightsError(f"{origin} does not fit {type(network).__name__}: {misfits}")
    converted = {name: state[name].detach().to(value.dtype) for name, value in own.items()}
    broken = [name for name, value in own.items() if not _is_sound(converted[name], value)]
    if broken:
        raise WeightsError(
            f"{origin}: {len(broken)} of {len(own)} entries hold infinities or NaN as {own[broken[0]].dtype} "
            f"({_listed(broken)}): the training diverged or the file is damaged, use another checkpoint"
        )
    try:
        network.load_state_dict(converted)
    except (RuntimeError, TypeError) as error:  # raised by a network's own load hooks
        raise WeightsError(f"{origin} does not fit {type(network).__name__}: {_one_line(error)}") from error


def load_weights(network: nn.Module, path: Path, checkpoint: CheckpointConf) -> None:
    """Reads a weight file and loads it, whichever names it uses.

    A file under the network's own names loads as it is, any other through the checkpoint's rename table;
    either way also where all names stand under a common prefix such as `module.`.

    Raises:
        WeightsError: as `read_state_dict`, `to_own_names` and `load_into` raise it.
        ConfigError: as `to_own_names` raises it.
    """
    state = read_state_dict(path, checkpoint)
    own = {name for name, value in network.state_dict().items() if isinstance(value, Tensor)}
    load_into(network, _best_reading(state, own, checkpoint, str(path)), str(path))


def random_weights(network: nn.Module, seed: int = 0) -> None:
    """Fills a network with seeded random weights, the same on every device and with every torch.

    Each parameter and running statistic is drawn with NumPy from a generator seeded by `seed` and its name:
    two or more dimensions as N(0, 1/fan-in), so that a layer keeps the scale of what passes through it;
    fewer dimensions near 1 (`weight`, `running_var`) or near 0. Other buffers are constants and stay.
    """
    entries: dict[str, Tensor] = dict(network.named_parameters())
    entries |= {name: buffer for name, buffer in network.named_buffers() if _is_statistic(name)}
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


def _is_statistic(name: str) -> bool:
    return name.endswith(("running_mean", "running_var"))


def _sniff(path: Path) -> str:
    """`safetensors` or `torch`, from the first bytes; anything else is an error that says what it is."""
    try:
        if path.exists() and not path.is_file():
            raise WeightsError(f"{path} is not a file: pass the path of a weight file")
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}; check weights=PATH") from error
    if not head:
        raise WeightsError(f"{path} is empty (0 bytes): delete it and fetch it again")
    if head[4:9] == b"\0\0\0\0{":  # a header length below 4 GiB in eight bytes, then JSON
        return "safetensors"
    if head.startswith(b"PK\x03\x04"):
        _check_archive(path)
        return "torch"
    if head.startswith(b"\x80"):
        return "torch"
    text = head.lstrip().lower()
    if text.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path} is a Git LFS pointer, not the weights: run `git lfs pull`")
    if text.startswith((b"<!doctype html", b"<html", b"<?xml")):
        raise WeightsError(f"{path} is a web page, not weights: download the raw file itself")
    raise WeightsError(f"{path} is neither a safetensors nor a PyTorch file, or is damaged: fetch it again")


def _check_archive(path: Path) -> None:
    """Refuses zip archives that are cut off, hold code (TorchScript), or were not written by PyTorch."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.partition("/")[2] for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _damaged(path, error) from error
    if "constants.pkl" in members:
        raise WeightsError(f"{path} is a TorchScript archive, which holds code: {SAVE_IT}")
    if "data.pkl" not in members:
        raise WeightsError(f"{path} is a zip archive that PyTorch did not write: {SAVE_IT}")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def _read_torch(path: Path) -> object:
    try:
        with (
            warnings.catch_warnings(),
            path.open("rb") as file,
        ):  # given a path, torch.load goes by the suffix
            warnings.simplefilter("ignore")  # each of torch's warnings here is followed by its error
            content: object = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # hostile bytes can make the unpickler raise anything
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        if foreign:
            raise WeightsError(
                f"{path} was not opened: it asks for `{_clip(foreign[1])}`, "
                f"and weights hold tensors only; {SAVE_IT}"
            ) from error
        raise _damaged(path, error) from error
    return content


def _damaged(path: Path, error: Exception) -> WeightsError:
    if "Weights only load failed" in str(error):
        return WeightsError(f"{path} is damaged or holds more than tensors: fetch it again, or {SAVE_IT}")
    return WeightsError(f"{path} is damaged or cut off ({_one_line(error)}): fetch it again")


def _find_state(content: object, under: str | None, path: Path) -> dict[str, Tensor]:
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not a state dict: {SAVE_IT}")
    if under is not None and under in content:
        return _checked_state(content[under], path, f" under `{under}`")
    inside = [key for key, value in content.items() if isinstance(key, str) and _is_state(value)]
    if len(inside) == 1:
        return _checked_state(content[inside[0]], path, f" under `{_clip(inside[0])}`")
    if len(inside) > 1:
        raise WeightsError(
            f"{path} holds {len(inside)} state dicts ({_listed(inside)}): "
            f"say which with model.checkpoint.state_dict_under={_clip(inside[0])}"
        )
    return _checked_state(content, path, "")


def _is_state(value: object) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(v, Tensor) for v in value.values())


def _checked_state(content: object, path: Path, where: str) -> dict[str, Tensor]:
    if not isinstance(content, dict) or not content:
        what = "an empty dict" if isinstance(content, dict) else f"a {type(content).__name__}"
        raise WeightsError(f"{path} holds {what}{where}, not a state dict: {SAVE_IT}")
    state: dict[str, Tensor] = {}
    for key, value in content.items():
        if not isinstance(key, str):
            raise WeightsError(f"{path} has the key {key!r:.60}{where}, which is not a name: {SAVE_IT}")
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            raise WeightsError(f"{path}: `{_clip(key)}`{where} is of type {kind}, not a tensor: {SAVE_IT}")
        if not _is_plain(value):
            raise WeightsError(f"{path}: `{_clip(key)}`{where} is not a plain dense tensor: {SAVE_IT}")
        state[key] = value
    return state


def _is_plain(value: Tensor) -> bool:
    dense = value.layout == torch.strided and not value.is_quantized and not value.is_nested
    return dense and value.device.type == "cpu"


def _rename(state: Mapping[str, Tensor], names: Mapping[str, str], table: str) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    origin: dict[str, str] = {}
    for key, name in names.items():
        if name in renamed:
            raise WeightsError(
                f"{table} puts both `{_clip(origin[name])}` and `{_clip(key)}` under `{_clip(name)}`: "
                "make it tell them apart, or drop one with checkpoint.drop"
            )
        renamed[name] = state[key]
        origin[name] = key
    return renamed


def _search(expression: str, key: str) -> bool:
    try:
        return re.search(expression, key) is not None
    except re.error as error:
        raise ConfigError(f"checkpoint.drop: {expression!r} is not a regular expression: {error}") from error


def _substitute(expression: str, replacement: str, name: str) -> str:
    try:
        return re.sub(expression, replacement, name)
    except re.error as error:
        raise ConfigError(
            f"checkpoint.rename: {expression!r} -> {replacement!r} is not a valid substitution: {error}"
        ) from error


def _best_reading(
    state: dict[str, Tensor], own: set[str], checkpoint: CheckpointConf, origin: str
) -> dict[str, Tensor]:
    """The reading of a file whose names are the network's, or else the one that comes nearest."""
    readings: list[dict[str, Tensor]] = []
    collision: WeightsError | None = None
    for unwrapped in _unwrapped(state):
        readings.append(unwrapped)
        try:
            readings.append(to_own_names(unwrapped, checkpoint))
        except WeightsError as error:
            collision = collision or error
    fitting = [reading for reading in readings if reading.keys() == own]
    if any(reading[name] is not fitting[0][name] for reading in fitting[1:] for name in own):
        raise WeightsError(
            f"{origin} can be read in two ways, because checkpoint.rename maps the network's names onto each "
            "other: give the network other names, or drop the table"
        )
    if not fitting and collision:
        raise WeightsError(f"{origin}: {collision}")
    return fitting[0] if fitting else max(readings, key=lambda reading: len(own & reading.keys()))


def _unwrapped(state: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The state dict as it is, then without each prefix that all of its names share."""
    while True:
        yield state
        prefixes = {name.partition(".")[0] if "." in name else None for name in state}
        if len(prefixes) != 1 or None in prefixes:
            return
        state = {name.partition(".")[2]: value for name, value in state.items()}


def _misfits(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """What keeps a state dict from fitting, as one line; empty if it fits."""
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    shared = [name for name in own if name in state]
    reshaped = [name for name in shared if state[name].shape != own[name].shape]
    retyped = [name for name in shared if _number_kind(state[name]) != _number_kind(own[name])]
    faults = []
    if missing:
        faults.append(f"{len(missing)} of {len(own)} entries are missing ({_listed(missing)})")
    if unexpected:
        faults.append(f"{len(unexpected)} are unexpected ({_listed(unexpected)})")
    if reshaped:
        shapes = [f"{name} is {list(state[name].shape)} for {list(own[name].shape)}" for name in reshaped]
        faults.append(f"{len(reshaped)} have another shape ({_listed(shapes)})")
    if retyped:
        types = [f"{name} is {state[name].dtype} for {own[name].dtype}" for name in retyped]
        faults.append(f"{len(retyped)} have another kind of number ({_listed(types)})")
    if not faults:
        return ""
    foreign = len(shared) - len(reshaped) < LOOKS_FOREIGN * len(own)
    remedy = (
        "these look like another network's weights, pass the file made for this one"
        if foreign
        else "check model.args, and checkpoint.rename where the names differ"
    )
    return f"{', '.join(faults)}; {remedy}"


def _number_kind(value: Tensor) -> str:
    if value.is_complex():
        return "complex"
    return "real" if value.is_floating_point() else "integer"


def _is_sound(value: Tensor, own: Tensor) -> bool:
    return bool((torch.isfinite(value) | (value == own.to(value.device))).all())


def _listed(names: Iterable[str]) -> str:
    clipped = [_clip(name) for name in names]
    more = "" if len(clipped) <= NAMES_SHOWN else ", …"
    return ", ".join(clipped[:NAMES_SHOWN]) + more


def _clip(text: str) -> str:
    """A name from a stranger's file, fit for one line of a terminal."""
    shown = text.encode("unicode_escape").decode("ascii")
    return shown if len(shown) <= NAME_WIDTH else f"{shown[: NAME_WIDTH - 3]}..."


def _one_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return _clip(lines[0].rstrip(".:") if lines else "it ends too early")
