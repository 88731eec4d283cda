"""Weight files: read from strangers without executing anything in them."""

import io
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor

from esr.config.schema import CheckpointConf
from esr.errors import ConfigError, WeightsError
from esr.system.limits import time_limit
from esr.text import escaped, listed, one_line

PATTERN_SECONDS = 10.0
"""Time for all patterns over all keys; honest ones take milliseconds."""
SAVE_IT = "save it again with torch.save(network.state_dict(), PATH) or as safetensors"
_FRAMEWORKS = ("lightning", "pytorch_lightning", "mmengine", "mmcv", "omegaconf", "argparse", "easydict")
"""Packages whose objects a training checkpoint holds beside its state dict."""
_COMPRESSED = (b"\x1f\x8b", b"bzh", b"\xfd7zxz", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf", b"rar!")
_NOT_WEIGHTS: tuple[tuple[bytes | tuple[bytes, ...], str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the weights: run `git lfs pull`"),
    ((b"<!doctype html", b"<html", b"<?xml"), "a web page, not weights: download the raw file itself"),
    (_COMPRESSED, "compressed: unpack it, and pass the file inside"),
    (b"\x89hdf", "an HDF5 file, as Keras writes it: convert it to PyTorch's names, and save a state dict"),
    (b"\x93numpy", f"a NumPy array, not a state dict: {SAVE_IT}"),
    (b"gguf", "a GGUF file: pass the original weights that it was converted from"),
    ((b'{"metadata"', b'{ "metadata"'), "the index of weights in several files: load them, and save one state dict"),
    (b"", "neither a safetensors nor a PyTorch file, or is damaged: fetch it again"),
)
"""First bytes of what people save by mistake, and its description; the last is that of anything else."""


Versions = Mapping[str, Mapping[str, object]]
"""Path of a module, empty for the network -> `version` of its entries' layout, as torch saves it."""


@dataclass(frozen=True)
class WeightFile:
    """The state dict of a file, on the CPU."""

    state: dict[str, Tensor]
    """Under the file's own names, without `checkpoint.strip_prefix`."""
    kind: str | None = None
    """The program that wrote it, with an article; `None` for a plain state dict."""
    versions: Versions | None = None
    """`None` where the file holds none."""


def read_weights(
    path: Path, checkpoint: CheckpointConf, content: bytes | None = None, *, required: bool = True
) -> WeightFile:
    """Reads a weight file.

    The content decides how a file is read, not its suffix: safetensors, or PyTorch's zip or older pickle format with
    `weights_only=True`, so that nothing in the file is executed. The state dict is the one under
    `checkpoint.state_dict_under`, whose dots lead into nested dicts; by default the top level, or the only key that
    holds one. `checkpoint.strip_prefix` is removed from the names that begin with it.

    Args:
        path: The file; with `content` only its name in errors.
        checkpoint: Location of the state dict in the file.
        content: The file's bytes, where they have been read already.
        required: The file has to have the key and the prefix that `checkpoint` names.

    Raises:
        WeightsError: The file is missing, damaged or no weight file, lacks the key or the prefix, holds more than
            tensors, or holds several state dicts of which `checkpoint.state_dict_under` names none.
        ConfigError: `checkpoint.drop` holds an invalid regular expression.
    """
    content = _content(path) if content is None else content
    read = _read_safetensors if _is_safetensors(path, content) else _read_torch
    outer = read(path, content)
    found, where = _found_state(outer, checkpoint.state_dict_under, path, required=required)
    prefix = checkpoint.strip_prefix or ""
    is_dropped = matcher(checkpoint)
    with patterns_limit():
        kept = {
            key: value
            for key, value in found.items()
            if isinstance(value, Tensor) or not (isinstance(key, str) and is_dropped(key.removeprefix(prefix)))
        }
    under = f"{checkpoint.state_dict_under}." if checkpoint.state_dict_under and where else ""
    state = _checked_state(kept, where, path, under)
    if required and prefix and not any(key.startswith(prefix) for key in state):
        raise WeightsError(
            f"checkpoint.strip_prefix={escaped(prefix)}: no entry of {path} begins with it ({listed(state)}); "
            "correct or remove it"
        )
    stripped = renamed(state, {key: key.removeprefix(prefix) for key in state}, "checkpoint.strip_prefix")
    versions = getattr(found, "_metadata", None)
    return WeightFile(stripped, _kind(outer, state), without_prefix(versions, prefix))


def count_values(path: Path, checkpoint: CheckpointConf, content: bytes) -> int:
    """Values of a weight file's state dict, entries that `checkpoint.drop` takes out left aside.

    Args:
        path: The file's name in errors.
        checkpoint: Location of the state dict in the file; a key or prefix that it lacks is passed over.
        content: The file's bytes.

    Raises:
        WeightsError: It is damaged or no weight file.
        ConfigError: `checkpoint.drop` holds an invalid regular expression.
    """
    state = read_weights(path, checkpoint, content, required=False).state
    is_dropped = matcher(checkpoint)
    with patterns_limit():
        kept = [value for name, value in state.items() if not is_dropped(name)]
    return sum({(value.data_ptr(), value.numel()): value.numel() for value in kept}.values())  # tied ones once


def without_prefix(versions: object, prefix: str) -> Versions | None:
    """Versions of the modules below a prefix that is taken off; `None` where there are none."""
    if not isinstance(versions, Mapping):
        return None
    known = {f"{path}.": one for path, one in versions.items() if isinstance(path, str) and isinstance(one, Mapping)}
    return {path.removeprefix(prefix).rstrip("."): one for path, one in known.items() if path.startswith(prefix)}


def renamed(state: Mapping[str, Tensor], names: Mapping[str, str], table: str) -> dict[str, Tensor]:
    """The entries under other names.

    Raises:
        WeightsError: Two of them get one name.
    """
    origin: dict[str, str] = {}
    for key, name in names.items():
        if name in origin:
            fault = f"puts both `{escaped(origin[name])}` and `{escaped(key)}` under `{escaped(name)}`"
            raise WeightsError(f"{table} {fault}: tell them apart, or drop one with checkpoint.drop")
        origin[name] = key
    return {name: state[key] for name, key in origin.items()}


def matcher(checkpoint: CheckpointConf) -> Callable[[str], bool]:
    """True for the names that `checkpoint.drop` leaves out.

    Raises:
        ConfigError: It holds an invalid regular expression.
    """
    try:
        patterns = [re.compile(expression) for expression in checkpoint.drop]
    except re.error as error:
        fault = f"{error.pattern!r} is not a valid regular expression or replacement: {error}"
        raise ConfigError(f"checkpoint.drop: {fault}") from error
    return lambda key: any(pattern.search(key) for pattern in patterns)


def patterns_limit() -> AbstractContextManager[None]:
    """Ends patterns of `checkpoint.drop` and `checkpoint.rename` that backtrack without end.

    Raises:
        ConfigError: They took `PATTERN_SECONDS`.
    """
    slow = ConfigError(
        f"checkpoint.drop, checkpoint.rename: patterns that take longer than {PATTERN_SECONDS:g} s; one of them "
        "backtracks without end, as (a+)+$ does"
    )
    return time_limit(PATTERN_SECONDS, slow)


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
    beginning = b" ".join(head.split()).lower()
    description = next(said for start, said in _NOT_WEIGHTS if beginning.startswith(start))
    raise WeightsError(f"{path} is {description}")


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


def load_tensors(file: Path | io.BytesIO) -> Any:
    """A file of `torch.save`: tensors and plain values, on the CPU. Damaged ones can raise nearly anything."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # each of torch's warnings here is followed by its error
        return torch.load(file, map_location="cpu", weights_only=True)


def _read_torch(path: Path, content: bytes) -> object:
    try:
        return load_tensors(io.BytesIO(content))
    except Exception as error:  # hostile bytes can make the unpickler raise anything
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> WeightsError:
    if foreign := re.search(r"GLOBAL (\S+)", str(error)):
        asked = f"it asks for `{escaped(foreign[1])}`, and weights hold tensors only"
        remedy = SAVE_IT
        if foreign[1].partition(".")[0] in _FRAMEWORKS:
            remedy = 'where you trust it: torch.save(torch.load(PATH, weights_only=False)["state_dict"], NEW)'
        return WeightsError(f"{path} was not opened: {asked}; {remedy}")
    if "Weights only load failed" in str(error):
        return WeightsError(f"{path} is damaged or holds more than tensors: fetch it again, or {SAVE_IT}")
    reason = escaped(one_line(str(error)).rstrip(".:")) or type(error).__name__
    return WeightsError(f"{path} is damaged or truncated ({reason}): fetch it again")


def _found_state(content: object, under: str | None, path: Path, *, required: bool) -> tuple[dict[object, object], str]:
    """The dict that should be a state dict, and its place in words."""
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds a {type(content).__name__}, not a state dict: {SAVE_IT}")
    inside = [key for key, value in content.items() if isinstance(key, str) and _is_state(value)]
    if under is not None:
        asked = _descended(content, under)
        if asked is not None:
            return _as_dict(asked, f" under `{escaped(under)}`", path), f" under `{escaped(under)}`"
        if required:
            raise WeightsError(f"model.checkpoint.state_dict_under={escaped(under)}: {_instead(content, inside, path)}")
    if len(inside) > 1:
        remedy = f"choose one with model.checkpoint.state_dict_under={escaped(inside[0])}"
        raise WeightsError(f"{path} holds {len(inside)} state dicts ({listed(inside)}): {remedy}")
    if inside:
        return _as_dict(content[inside[0]], "", path), f" under `{escaped(inside[0])}`"
    if any(isinstance(content.get(key), list) for key in ("shadow_params", "collected_params")):
        remedy = "copy them into the network with ema.copy_to(network.parameters()), and " + SAVE_IT
        raise WeightsError(f"{path} holds the averages of torch_ema, a list without names: {remedy}")
    return _as_dict(content, "", path), ""


def _descended(content: Mapping[object, object], under: str) -> object:
    """The value under a key, or under a dotted path of keys; `None` where there is none."""
    if under in content:
        return content[under]
    first, dot, rest = under.partition(".")
    inner = content.get(first)
    return _descended(inner, rest) if dot and isinstance(inner, dict) else None


def _instead(content: Mapping[object, object], inside: list[str], path: Path) -> str:
    """The keys that a file has where the one asked for is missing."""
    if inside:
        return f"{path} has no such key, but {listed(inside)}; choose one of them"
    if _is_state(content):
        return f"{path} has no such key, it is a plain state dict; remove the setting (=null)"
    return f"{path} has no such key, and no other that holds a state dict ({listed(map(str, content))})"


def _is_state(value: object) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(v, Tensor) for v in value.values())


def _as_dict(content: object, where: str, path: Path) -> dict[object, object]:
    if not isinstance(content, dict) or not content:
        kind = "an empty dict" if isinstance(content, dict) else f"a {type(content).__name__}"
        raise WeightsError(f"{path} holds {kind}{where}, not a state dict: {SAVE_IT}")
    return content


def _checked_state(content: Mapping[object, object], where: str, path: Path, under: str) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for key, value in content.items():
        if not isinstance(key, str):
            raise WeightsError(f"{path} has the key {key!r:.60}{where}, which is not a name: {SAVE_IT}")
        entry = f"{path}: `{escaped(key)}`{where}"
        if not isinstance(value, Tensor):
            remedy = f"leave it out with checkpoint.drop: ['^{re.escape(escaped(key))}$'], or {SAVE_IT}"
            if isinstance(value, dict):
                way = escaped(under + (_way_to_state(value, key) or key))
                remedy = f"if it is the state dict, set model.checkpoint.state_dict_under={way}"
            raise WeightsError(f"{entry} is of type {type(value).__name__}, not a tensor: {remedy}")
        dense = value.layout == torch.strided and not value.is_quantized and not value.is_nested
        if not dense or value.device.type != "cpu":
            raise WeightsError(f"{entry} is not a plain dense tensor: {SAVE_IT}")
        state[key] = value
    return state


def _way_to_state(value: object, way: str, depth: int = 4) -> str | None:
    """The dotted path of the first state dict in nested dicts; `None` where there is none."""
    if _is_state(value):
        return way
    inner = value.items() if isinstance(value, dict) and depth else ()
    named = ((key, one) for key, one in inner if isinstance(key, str))
    return next((found for key, one in named if (found := _way_to_state(one, f"{way}.{key}", depth - 1))), None)


def _kind(content: object, state: Mapping[str, Tensor]) -> str | None:
    """The program that wrote a file, by what it leaves beside the weights and before their names."""
    outer = content if isinstance(content, dict) else {}
    meta = outer.get("meta")
    signs = {
        "a Lightning checkpoint": "pytorch-lightning_version" in outer or "lightning_version" in outer,
        "an OpenMMLab checkpoint": (isinstance(meta, dict) and any(str(key).startswith("mm") for key in meta))
        or any(key.startswith(("generator.", "generator_ema.")) for key in state),
        "a stochastic weight average": "n_averaged" in state,
        "a moving average of ema-pytorch": any(key.startswith("ema_model.") for key in state),
    }
    return next((kind for kind, seen in signs.items() if seen), None)
