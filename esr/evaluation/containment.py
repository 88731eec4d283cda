"""The sandbox that an evaluation asks for: what its networks may read, and what is hidden from them."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from rich.cells import cell_len

from esr.config.schema import EsrConf, ModelConf
from esr.data import datasets, layouts
from esr.sandbox.layers import Mode
from esr.sandbox.process import Wishes
from esr.system.files import expanded
from esr.zoo.environments import packages_of

RESULTS_CACHE = ".esr"
"""Folder of untimed results below `out`."""
_LATER = ("ctypes.util", "pynvml", "scipy.special")
"""Modules that are imported when they are first used, because that takes a second."""
_RESULTS = ("outputs", "multirun", RESULTS_CACHE)
"""Folders of results below `out`."""


def wishes(settings: EsrConf, folder: Path | None, model: ModelConf, found: layouts.Found) -> Wishes:
    """The sandbox of one network: it reads its own code, and neither images nor records.

    Args:
        settings: Name the folder of results.
        folder: Of this evaluation's results, if there is one.
        model: The network.
        found: The images.
    """
    images = {file.parent for file in _files(*found.hr, *found.lr)}
    results = [Path(settings.out) / name for name in _RESULTS]
    folders = [folder] if folder else []
    roots = [expanded(settings.data.root)] if settings.data.root else []
    hidden = [*images, *roots, *results, *folders, *_always_hidden()]
    return Wishes(cast(Mode, settings.sandbox), code(model), hidden)


def for_question(model: ModelConf) -> Wishes:
    """The sandbox of a network that is not measured."""
    return Wishes("auto", code(model), [*map(Path, _RESULTS), *_always_hidden()])


def _always_hidden() -> Sequence[Path]:
    return layouts.data_home(), Path(datasets.__file__).parent / "demo"


def import_all() -> None:
    """Imports what this process needs later on: nothing is looked up any more once a stranger's code exists."""
    for name in _LATER:
        importlib.import_module(name)
    cell_len("→")  # rich loads its table of widths with the first character that is not ASCII


def _files(*named: Path | None) -> list[Path]:
    """Files, and those that links among them lead to."""
    return [file for one in named if one for file in (one, one.resolve())]


def code(model: ModelConf) -> Sequence[Path]:
    """Folders in which a network's class is looked up, besides installed packages; a repository, and own packages."""
    packages = packages_of(model)
    own = [packages] if packages else []
    if model.repository.root is not None:
        return [Path(model.repository.root), *own]
    if model._target_.startswith("esr."):
        return own
    return [Path.cwd(), *([Path(model.source).parent] if model.source else []), *own]
