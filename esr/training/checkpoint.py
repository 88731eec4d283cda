"""Checkpoints, from which an interrupted run resumes, and the exported weights; each file is replaced whole."""

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as serialise
from torch import Tensor, nn

from esr.config.digest import leaves
from esr.config.schema import network_name
from esr.errors import ConfigError, WeightsError
from esr.networks.weight_files import load_tensors
from esr.system import files
from esr.training.config import TrainConf

VERSION = 1
_OUTPUT = ("out", "save_as", "checkpoint_every", "validate_every", "log_every")
_FREE_TO_CHANGE = ("model", "data_root", "validate_root", "device", *_OUTPUT)
"""Keys that do not affect the resulting weights; the network and the images are compared by content."""


@dataclass
class Checkpoint:
    """State of a training run between two steps."""

    identity: dict[str, object]
    """From `identity_of`: all that determines the resulting weights."""
    step: int
    """Completed steps."""
    seconds: float
    """Training time, over all sittings."""
    network: dict[str, Tensor]
    average: dict[str, Tensor]
    optimiser: dict[str, Any]
    random: list[Tensor]
    """States of torch's generators: the CPU's, and that of the CUDA device if one is used."""

    def __post_init__(self) -> None:
        if not isinstance(self.identity, dict) or min(self.step, self.seconds) < 0:
            raise ValueError("no state between two steps")


def identity_of(settings: TrainConf, data_digest: str, init_sha256: str | None) -> dict[str, object]:
    """Settings that determine the resulting weights, flattened under their configuration keys."""
    kept = {key: value for key, value in asdict(settings).items() if key not in _FREE_TO_CHANGE}
    identity: dict[str, object] = {
        "model": network_name(settings.model),
        "model._target_": settings.model._target_,
        "model.args": repr(sorted(settings.model.args.items())),
        "model.data_range": settings.model.data_range,
        "SHA-256 of the images in data_root": data_digest,
    }
    if init_sha256:
        kept.pop("init")  # the same weights may lie at another path
        identity["SHA-256 of the weights in init"] = init_sha256
    return identity | dict(leaves(kept))


def save(checkpoint: Checkpoint, path: Path) -> None:
    """Writes a checkpoint in place of the previous one.

    Raises:
        ConfigError: The file cannot be written.
    """
    content = io.BytesIO()
    torch.save({"version": VERSION, **vars(checkpoint)}, content)
    files.write(path, content.getvalue(), ConfigError)


def load(path: Path, identity: Mapping[str, object]) -> Checkpoint | None:
    """Reads a checkpoint of the run that `identity` describes; `None` for one of another run before its first step.

    Raises:
        WeightsError: The file is damaged or not a checkpoint.
        ConfigError: It belongs to another run; the line names the first difference.
    """
    try:
        content = load_tensors(path)
        version = content.pop("version")
        checkpoint = Checkpoint(**content) if version == VERSION else None
    except Exception as error:  # a damaged file can make torch raise nearly anything
        raise damaged(path, error) from error
    if checkpoint is None:
        raise WeightsError(f"{path} is a checkpoint of version {version}, not {VERSION}; move it away to start over")
    for key in {**checkpoint.identity, **identity}:
        there, here = checkpoint.identity.get(key), identity.get(key)
        if there != here:
            if checkpoint.step == 0:
                return None
            fault = f"belongs to another run: {key} is {there} there and {here} here"
            raise ConfigError(f"{path} {fault}; pass another out=FOLDER, or move it away to start over")
    return checkpoint


def damaged(path: Path, error: Exception) -> WeightsError:
    """Error for a checkpoint that cannot be restored."""
    fault = f"is damaged or not a checkpoint of esr train ({type(error).__name__})"
    return WeightsError(f"{path} {fault}; move it away to start over")


def export(network: nn.Module, path: Path, precision: str, about: Mapping[str, str]) -> None:
    """Saves a network's weights as safetensors under its own names.

    Args:
        network: On any device.
        path: File ending in `.safetensors`.
        precision: `float16` or `float32`; integers stay integers.
        about: Metadata for the file's header.

    Raises:
        WeightsError: A value is too large for the precision, or not finite.
        ConfigError: The file cannot be written.
    """
    dtype = {"float16": torch.float16, "float32": torch.float32}[precision]
    state = {}
    for name, value in network.state_dict().items():
        cast = value.detach().to("cpu", dtype if value.is_floating_point() else value.dtype)
        if bool(torch.isinf(cast).logical_and(~torch.isinf(value.cpu())).any() | torch.isnan(cast).any()):
            raise WeightsError(f"{name} does not fit {precision}: pass save_as=float32, or train with a lower l1.lr")
        state[name] = cast.contiguous().clone()
    files.write(path, serialise(state, metadata=dict(about)), ConfigError)
