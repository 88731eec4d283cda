"""The public Python API; the command line does the same work through the same functions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from esr.config.cards import model_names
from esr.records.files import Record

if TYPE_CHECKING:
    from torch import nn


def list_models() -> list[str]:
    """Names of the shipped networks: the two baselines first, then by the challenge's team numbers."""
    return list(model_names())


def create_model(name: str, weights: str = "auto") -> "nn.Module":
    """A network with its weights: frozen, in eval mode, on the CPU.

    Args:
        name: A shipped network's name, or a path to a participant's YAML.
        weights: `auto`, `published`, `bundled`, `random` or a path.

    Returns:
        A module that maps N×3×H×W to N×3×4H×4W, both from 0 to `.card.data_range`; `.card` is its `Card`.

    Raises:
        ConfigError: There is no network of that name.
        WeightsError: The weights are missing, damaged, hostile or another network's.
        DownloadError: The published weights were asked for and could not be fetched.
        NetworkError: A participant's class cannot be built.
    """
    from esr.config import compose as composition  # noqa: PLC0415
    from esr.config.schema import EsrConf, typed  # noqa: PLC0415
    from esr.networks import build as networks  # noqa: PLC0415
    from esr.zoo import weights as zoo  # noqa: PLC0415

    model = typed(EsrConf, composition.compose([f"model={name}"])).model
    network = networks.build(model)
    networks.load(network, model, zoo.resolve(model, weights))
    return network


def evaluate(overrides: Sequence[str], out: str | Path | None = None) -> Record:
    """Measures a network as `esr OVERRIDES…` does.

    Args:
        overrides: As on the command line, e.g. `["model=rlfn", "data=demo"]`.
        out: Folder for `record.json`; none: nothing is written.

    Returns:
        The record; a network that failed is named in its `failures`.

    Raises:
        EsrError: The input is at fault; the message is one line with the remedy.
    """
    from esr.config import compose as composition  # noqa: PLC0415
    from esr.config.schema import EsrConf, typed  # noqa: PLC0415
    from esr.evaluation import evaluate as evaluation  # noqa: PLC0415

    settings = typed(EsrConf, composition.compose(overrides))
    return evaluation.evaluate(settings, Path(out) if out is not None else None)
