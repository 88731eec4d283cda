"""Published PyTorch files as safetensors; the one part of fetching that needs torch."""

from pathlib import Path
from typing import Any

from safetensors.torch import save

from esr.config.schema import CheckpointConf, typed
from esr.errors import DownloadError
from esr.networks.state_dicts import read_state_dict
from esr.system import files as atomic
from esr.zoo.catalogue import Thing
from esr.zoo.download import sha256_of


def to_safetensors(path: Path, folder: Path, thing: Thing, checkpoint: dict[str, Any]) -> Path:
    """Writes the state dict of a weight file as `folder/STEM.safetensors`, under its published names.

    The header names the file it came from, with its digest and licence. `weights=PATH` loads either file.

    Args:
        path: the published file.
        folder: where the result goes.
        thing: what was fetched.
        checkpoint: the network's `checkpoint`, which says where in the file the state dict is.

    Raises:
        WeightsError: the file is not what it should be.
        DownloadError: the result cannot be written.
    """
    state = read_state_dict(path, typed(CheckpointConf, checkpoint))
    origin = {"network": thing.name, "origin": path.name, "origin_sha256": sha256_of(path)}
    licence = {"licence": thing.licence} if thing.licence else {}
    content = save({name: value.contiguous().clone() for name, value in state.items()}, origin | licence)
    target = folder / f"{path.stem}.safetensors"
    try:
        atomic.replace(target, content)
    except OSError as error:
        raise DownloadError(
            f"{target} cannot be written ({error.strerror}): make room, or set ESR_ZOO=FOLDER"
        ) from error
    return target
