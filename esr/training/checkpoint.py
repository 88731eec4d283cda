"""What an interrupted training goes on from, and the weights that come out of it; files appear whole or not."""

import io
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as serialise
from torch import Tensor, nn

from esr.config.schema import network_name
from esr.errors import ConfigError, WeightsError
from esr.system import files as atomic
from esr.training.config import TrainConf

VERSION = 1
_FREE_TO_CHANGE = (
    "model", "data_root", "validate_root", "out", "device", "save_as",
    "checkpoint_every", "validate_every", "log_every",
)  # fmt: skip
"""Keys that have no say in which weights come out; the network and the images are compared by what they are."""


@dataclass
class Checkpoint:
    """A training run between two steps."""

    identity: dict[str, Any]
    """What the run is, from `identity_of`."""
    step: int
    """Steps done."""
    seconds: float
    """Time that they took, over all sittings."""
    network: dict[str, Tensor]
    average: dict[str, Tensor]
    optimiser: dict[str, Any]
    random: list[Tensor]
    """States of torch's generators: the CPU's, and that of the CUDA device where one is used."""


def identity_of(settings: TrainConf, data_digest: str, init_sha256: str | None) -> dict[str, Any]:
    """Whatever decides which weights a run leads to, as flat plain values under their configuration keys."""
    plain = {key: value for key, value in asdict(settings).items() if key not in _FREE_TO_CHANGE}
    flat: dict[str, Any] = {
        "model": network_name(settings.model),
        "model._target_": settings.model._target_,
        "model.args": repr(sorted(settings.model.args.items())),
        "model.data_range": settings.model.data_range,
        "SHA-256 of the images in data_root": data_digest,
    }
    if init_sha256:
        plain.pop("init")  # the same weights may stand elsewhere
        flat["SHA-256 of the weights in init"] = init_sha256
    for key, value in plain.items():
        inner = value if isinstance(value, dict) else {"": value}
        flat |= {f"{key}.{name}".rstrip("."): item for name, item in inner.items()}
    return flat


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Writes a checkpoint in place of the one before.

    Raises:
        ConfigError: The file cannot be written.
    """
    content = io.BytesIO()
    torch.save({"version": VERSION, **vars(checkpoint)}, content)
    write_whole(path, content.getvalue())


def load(path: Path, identity: Mapping[str, Any]) -> Checkpoint:
    """Reads a checkpoint of the very run that `identity` describes.

    Raises:
        WeightsError: The file is damaged or none of ours.
        ConfigError: It belongs to another run; the line says in what they differ.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # each of torch's warnings here is followed by its error
            content = torch.load(path, map_location="cpu", weights_only=True)
        version = content.pop("version")
    except Exception as error:  # a damaged file makes torch raise nearly anything
        raise damaged(path, error) from error
    if version != VERSION:
        raise WeightsError(
            f"{path} is a checkpoint of version {version}, not {VERSION}; move it away to start anew"
        )
    try:
        checkpoint = Checkpoint(**content)
        sound = checkpoint.step >= 0 and checkpoint.seconds >= 0 and isinstance(checkpoint.identity, dict)
    except TypeError as error:
        raise damaged(path, error) from error
    if not sound:
        raise damaged(path, ValueError())
    for key in {**checkpoint.identity, **identity}:
        there, here = checkpoint.identity.get(key), identity.get(key)
        if there != here:
            raise ConfigError(
                f"{path} belongs to another run: {key} is {there} there and {here} here; pass another out=FOLDER, "
                "or move it away to start anew"
            )
    return checkpoint


def damaged(path: Path, error: Exception) -> WeightsError:
    """What is said of a checkpoint that cannot be taken up."""
    return WeightsError(
        f"{path} is damaged or no checkpoint of esr train ({type(error).__name__}); move it away to start anew"
    )


def export(network: nn.Module, path: Path, precision: str, about: Mapping[str, str]) -> None:
    """Saves a network's weights as safetensors under its own names.

    Args:
        network: On any device.
        path: The file, ending in `.safetensors`.
        precision: `float16` or `float32`; integers stay integers.
        about: Kept in the file's header.

    Raises:
        WeightsError: A value is too large for the precision, or not finite.
        ConfigError: The file cannot be written.
    """
    dtype = {"float16": torch.float16, "float32": torch.float32}[precision]
    state = {}
    for name, value in network.state_dict().items():
        kept = value.detach().to("cpu", dtype if value.is_floating_point() else value.dtype)
        if bool(torch.isinf(kept).logical_and(~torch.isinf(value.cpu())).any() | torch.isnan(kept).any()):
            raise WeightsError(
                f"{name} does not fit {precision}: pass save_as=float32, or train with a lower l1.lr"
            )
        state[name] = kept.contiguous().clone()
    write_whole(path, serialise(state, metadata=dict(about)))


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file in place of the one before.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        atomic.replace(path, content)
    except OSError as error:
        raise ConfigError(f"cannot write {path} ({error.strerror}); pass another out=FOLDER") from error
