"""State dicts: read from untrusted files without executing them, renamed, and loaded completely or not at all."""

import io
import math
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from esr.config.schema import CheckpointConf
from esr.errors import ConfigError, WeightsError
from esr.text import escaped, listed, one_line

SAVE_IT = "save it again with torch.save(network.state_dict(), PATH) or as safetensors"
LOOKS_FOREIGN = 0.5
"""Below this share of the network's entries found in a file, the file belongs to another network."""
_NOT_WEIGHTS = {
    b"version https://git-lfs": "a Git LFS pointer, not the weights: run `git lfs pull`",
    **dict.fromkeys((b"<!doctype html", b"<html", b"<?xml"), "a web page, not weights: download the raw file itself"),
}
"""First bytes of what people save by mistake -> its description."""


def read_state_dict(path: Path, checkpoint: CheckpointConf, content: bytes | None = None) -> dict[str, Tensor]:
    """The tensors of a weight file, on the CPU, under the file's own names.

    The content decides how a file is read, not its suffix: safetensors, or PyTorch's zip or older pickle format with
    `weights_only=True`, so that nothing in the file is executed. The state dict is the one under
    `checkpoint.state_dict_under`; if the file has no such key, the top level, or the only key that holds one.
    `checkpoint.strip_prefix` is removed from the names that begin with it.

    Args:
        path: The file; with `content` only its name in errors.
        checkpoint: Its description.
        content: The file's bytes, where they have been read already.

    Raises:
        WeightsError: The file is missing, damaged or no weight file, holds more than tensors, or holds several state
            dicts of which `checkpoint.state_dict_under` names none.
    """
    content = _content(path) if content is None else content
    read = _read_safetensors if _is_safetensors(path, content) else _read_torch
    state = _find_state(read(path, content), checkpoint.state_dict_under, path)
    stripped = {key: key.removeprefix(checkpoint.strip_prefix or "") for key in state}
    return _rename(state, stripped, "checkpoint.strip_prefix")


def to_own_names(state: Mapping[str, Tensor], checkpoint: CheckpointConf) -> dict[str, Tensor]:
    """The state dict under the network's own names, by the checkpoint's `drop` and `rename` tables.

    A key that matches a `drop` expression (`re.search`) is left out. The `rename` expressions are applied to every
    other key in the table's order (`re.sub`).

    Raises:
        ConfigError: A table holds an invalid regular expression or replacement.
        WeightsError: Two keys get the same name.
    """
    names: dict[str, str] = {}
    try:
        for key in state:
            if any(re.search(expression, key) for expression in checkpoint.drop):
                continue
            names[key] = key
            for expression, replacement in checkpoint.rename.items():
                names[key] = re.sub(expression, replacement, names[key])
    except re.error as error:
        table = f"checkpoint.{'drop' if error.pattern in checkpoint.drop else 'rename'}"
        fault = f"{error.pattern!r} is not a valid regular expression or replacement: {error}"
        raise ConfigError(f"{table}: {fault}") from error
    return _rename(state, names, "checkpoint.rename")


def load_into(network: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Copies a state dict into a network: every entry, or none.

    Names and shapes must match in both directions. Floating-point values are converted to the network's precision
    (float16 files become float32 parameters); integers stay integers. Infinities and NaN are refused, except an
    infinity that the network's constructor put in the same place (a mask).

    Args:
        network: On any device.
        state: Tensors under the network's own names.
        origin: The weights' name in errors, usually a path.

    Raises:
        WeightsError: Something does not fit; the network is unchanged.
    """
    own = _own_state(network)
    if misfits := _misfits(own, state):
        raise WeightsError(f"{origin} does not fit {type(network).__name__}: {misfits}")
    converted = {name: state[name].detach().to(value.dtype) for name, value in own.items()}
    broken = [name for name, value in own.items() if not _is_sound(converted[name], value)]
    if broken:
        raise WeightsError(
            f"{origin}: {len(broken)} of {len(own)} entries hold infinities or NaN as {own[broken[0]].dtype} "
            f"({listed(broken)}): the training diverged or the file is damaged, use another checkpoint"
        )
    try:
        network.load_state_dict(converted)
    except (RuntimeError, TypeError) as error:  # raised by a network's own load hooks
        raise WeightsError(f"{origin} does not fit {type(network).__name__}: {_reason(error)}") from error


def load_weights(network: nn.Module, path: Path, checkpoint: CheckpointConf, content: bytes | None = None) -> None:
    """Reads a weight file and loads it under whichever names it uses.

    A file with the network's own names is loaded as it is, any other through the checkpoint's rename table; a prefix
    that all names share, such as `module.`, is removed in either case.

    Raises:
        WeightsError: As `read_state_dict`, `to_own_names` and `load_into`.
        ConfigError: As `to_own_names`.
    """
    state = read_state_dict(path, checkpoint, content)
    load_into(network, _best_reading(state, set(_own_state(network)), checkpoint, path), str(path))


def _own_state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in network.state_dict().items() if isinstance(value, Tensor)}


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


def _content(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise WeightsError(f"{path} is not a file: pass the path of a weight file")
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}; check weights=PATH") from error


def _is_safetensors(path: Path, content: bytes) -> bool:
    """True for safetensors, False for PyTorch's formats, by the first bytes; an error describes anything else."""
    head = content[:512]
    if not head:
        raise WeightsError(f"{path} is empty (0 bytes): delete it and fetch it again")
    if head[4:9] == b"\0\0\0\0{":  # a header length below 4 GiB in eight bytes, then JSON
        return True
    if head.startswith(b"PK\x03\x04"):
        _check_archive(path, content)
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return False
    for start, description in _NOT_WEIGHTS.items():
        if head.lstrip().lower().startswith(start):
            raise WeightsError(f"{path} is {description}")
    raise WeightsError(f"{path} is neither a safetensors nor a PyTorch file, or is damaged: fetch it again")


def _check_archive(path: Path, content: bytes) -> None:
    """Refuses zip archives that are truncated, hold code (TorchScript), or were not written by PyTorch."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name.partition("/")[2] for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _damaged(path, error) from error
    if "constants.pkl" in members:
        raise WeightsError(f"{path} is a TorchScript archive, which holds code: {SAVE_IT}")
    if "data.pkl" not in members:
        raise WeightsError(f"{path} is a zip archive that PyTorch did not write: {SAVE_IT}")


def _read_safetensors(path: Path, content: bytes) -> dict[str, Tensor]:
    try:
        return dict(load_safetensors(content))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise _damaged(path, error) from error


def _read_torch(path: Path, content: bytes) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each of torch's warnings here is followed by its error
            return cast(object, torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except Exception as error:  # hostile bytes can make the unpickler raise anything
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> WeightsError:
    if foreign := re.search(r"GLOBAL (\S+)", str(error)):
        asked = f"it asks for `{escaped(foreign[1])}`, and weights hold tensors only"
        return WeightsError(f"{path} was not opened: {asked}; {SAVE_IT}")
    if "Weights only load failed" in str(error):
        return WeightsError(f"{path} is damaged or holds more than tensors: fetch it again, or {SAVE_IT}")
    return WeightsError(f"{path} is damaged or truncated ({_reason(error)}): fetch it again")


def _reason(error: Exception) -> str:
    return escaped(one_line(str(error)).rstrip(".:")) or type(error).__name__


def _find_state(content: object, under: str | None, path: Path) -> dict[str, Tensor]:
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not a state dict: {SAVE_IT}")
    if under is not None and under in content:
        return _checked_state(content[under], f" under `{under}`", path)
    inside = [key for key, value in content.items() if isinstance(key, str) and _is_state(value)]
    if len(inside) > 1:
        remedy = f"choose one with model.checkpoint.state_dict_under={escaped(inside[0])}"
        raise WeightsError(f"{path} holds {len(inside)} state dicts ({listed(inside)}): {remedy}")
    if inside:
        return _checked_state(content[inside[0]], f" under `{escaped(inside[0])}`", path)
    return _checked_state(content, "", path)


def _is_state(value: object) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(v, Tensor) for v in value.values())


def _checked_state(content: object, where: str, path: Path) -> dict[str, Tensor]:
    if not isinstance(content, dict) or not content:
        kind = "an empty dict" if isinstance(content, dict) else f"a {type(content).__name__}"
        raise WeightsError(f"{path} holds {kind}{where}, not a state dict: {SAVE_IT}")
    for key, value in content.items():
        if not isinstance(key, str):
            raise WeightsError(f"{path} has the key {key!r:.60}{where}, which is not a name: {SAVE_IT}")
        entry = f"{path}: `{escaped(key)}`{where}"
        if not isinstance(value, Tensor):
            raise WeightsError(f"{entry} is of type {type(value).__name__}, not a tensor: {SAVE_IT}")
        dense = value.layout == torch.strided and not value.is_quantized and not value.is_nested
        if not dense or value.device.type != "cpu":
            raise WeightsError(f"{entry} is not a plain dense tensor: {SAVE_IT}")
    return content


def _rename(state: Mapping[str, Tensor], names: Mapping[str, str], table: str) -> dict[str, Tensor]:
    origin: dict[str, str] = {}
    for key, name in names.items():
        if name in origin:
            fault = f"puts both `{escaped(origin[name])}` and `{escaped(key)}` under `{escaped(name)}`"
            raise WeightsError(f"{table} {fault}: tell them apart, or drop one with checkpoint.drop")
        origin[name] = key
    return {name: state[key] for name, key in origin.items()}


def _best_reading(state: dict[str, Tensor], own: set[str], checkpoint: CheckpointConf, path: Path) -> dict[str, Tensor]:
    """The reading of a file that has exactly the network's names, or else the closest one."""
    readings, collision = [], None
    for unwrapped in _unwrapped(state):
        readings.append(unwrapped)
        try:
            readings.append(to_own_names(unwrapped, checkpoint))
        except WeightsError as error:
            collision = collision or error
    fitting = [reading for reading in readings if reading.keys() == own]
    if any(reading[name] is not fitting[0][name] for reading in fitting[1:] for name in own):
        raise WeightsError(
            f"{path} can be read in two ways, because checkpoint.rename maps the network's names onto each other: "
            "rename the network's entries, or remove the table"
        )
    if not fitting and collision:
        raise WeightsError(f"{path}: {collision}")
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
    """The reasons why a state dict does not fit, on one line; empty if it fits."""
    pairs = {name: (state[name], own[name]) for name in own if name in state}
    reshaped = {name: pair for name, pair in pairs.items() if pair[0].shape != pair[1].shape}
    retyped = {name: pair for name, pair in pairs.items() if len({_number_kind(value) for value in pair}) > 1}
    faults = {
        f"of {len(own)} entries are missing": [name for name in own if name not in state],
        "are unexpected": [name for name in state if name not in own],
        "have another shape": [f"{n} is {list(a.shape)} for {list(b.shape)}" for n, (a, b) in reshaped.items()],
        "have another kind of number": [f"{n} is {a.dtype} for {b.dtype}" for n, (a, b) in retyped.items()],
    }
    found = [f"{len(entries)} {fault} ({listed(entries)})" for fault, entries in faults.items() if entries]
    remedy = "check model.args, and checkpoint.rename where the names differ"
    if len(pairs) - len(reshaped) < LOOKS_FOREIGN * len(own):
        remedy = "these look like another network's weights, pass the file made for this one"
    return f"{', '.join(found)}; {remedy}" if found else ""


def _number_kind(value: Tensor) -> str:
    if value.is_complex():
        return "complex"
    return "real" if value.is_floating_point() else "integer"


def _is_sound(value: Tensor, own: Tensor) -> bool:
    return bool((torch.isfinite(value) | (value == own.to(value.device))).all())
