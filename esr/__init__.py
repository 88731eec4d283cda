"""Measures efficient super-resolution networks so that a comparison made on one machine holds on another.

    import esr
    net = esr.create_model("rlfn")
    sr = esr.super_resolve(net, lr)              # uint8 H×W×3 -> uint8 4H×4W×3
    record = esr.evaluate(["model=rlfn", "data=demo"])
    table = esr.rank("outputs")                  # records below a folder, as esr rank

Importing `esr` does not import torch; the functions that need it do.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from esr.api import compare, create_model, evaluate, list_models, rank, samples, to_frame
    from esr.networks.facts import card_of
    from esr.networks.inference import super_resolve
    from esr.records.files import Record, load_record

__version__ = "0.1.0"

__all__ = [
    "Record",
    "__version__",
    "card_of",
    "compare",
    "create_model",
    "evaluate",
    "list_models",
    "load_record",
    "rank",
    "samples",
    "super_resolve",
    "to_frame",
]

_HOMES = dict.fromkeys(("compare", "create_model", "evaluate", "list_models", "rank", "samples", "to_frame"), "esr.api")
_HOMES |= dict.fromkeys(("Record", "load_record"), "esr.records.files")
_HOMES["card_of"] = "esr.networks.facts"
_HOMES["super_resolve"] = "esr.networks.inference"


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'esr' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - only who asks for a name pays for its module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
