"""Networks whose architecture the package spandrel recognises from their weight file."""

from pathlib import Path

from torch import nn

from esr.config.cards import NO_FILE
from esr.config.schema import SCALE, CheckpointConf
from esr.errors import NetworkError, WeightsError
from esr.networks.build import frozen
from esr.networks.repository.stand_ins import prepare_torchvision
from esr.networks.weight_files import read_weights
from esr.records.network import Weights
from esr.text import described


def load(weights: Weights, content: bytes | None = None) -> nn.Module:
    """The network in a weight file, frozen and in evaluation mode; the file is opened as tensors only.

    Raises:
        NetworkError: spandrel is not installed.
        WeightsError: No file was given, spandrel does not know its architecture, or it is no RGB network for ×4.
    """
    if weights.path is None:
        raise WeightsError(NO_FILE)
    prepare_torchvision()
    try:
        import spandrel  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise NetworkError(f"model=spandrel: {described(error)}; pip install spandrel") from error
    state = read_weights(Path(weights.path), CheckpointConf(), content).state
    try:
        found = spandrel.ModelLoader().load_from_state_dict(state)
    except Exception as error:  # whatever an architecture's own code raises
        reason = described(error)[:300] if str(error) else "it knows no such architecture"
        raise WeightsError(f"{weights.path}: spandrel cannot load it ({reason})") from error
    if (found.scale, found.input_channels, found.output_channels) != (SCALE, 3, 3):
        what = f"{found.architecture.name} for ×{found.scale} with {found.input_channels} channels"
        raise WeightsError(f"{weights.path}: {what}; expected ×{SCALE} with 3")
    return frozen(found.model)
