"""Published PyTorch files as safetensors."""

from pathlib import Path

from safetensors.torch import save

from esr.config.schema import CheckpointConf
from esr.errors import DownloadError
from esr.networks.weight_files import read_weights
from esr.system import files


def to_safetensors(path: Path, folder: Path, checkpoint: CheckpointConf, notes: dict[str, str]) -> Path:
    """Writes the state dict of a weight file as `folder/STEM.safetensors`, under its published names.

    Args:
        path: The published file.
        folder: The destination.
        checkpoint: Location of the state dict in the file.
        notes: Kept in the header.

    Returns:
        The new file; `weights=PATH` loads either.

    Raises:
        WeightsError: The file is not what it should be.
        DownloadError: The result cannot be written.
    """
    state = read_weights(path, checkpoint).state
    content = save({name: value.contiguous().clone() for name, value in state.items()}, notes)
    target = folder / f"{path.stem}.safetensors"
    files.write(target, content, DownloadError, "make room, or set ESR_ZOO=FOLDER")
    return target
