"""Cache key of a measurement: a digest of configuration, weights, code and images.

A multirun skips networks that have a record with the same key.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from esr.config.digest import digest, relevant
from esr.config.schema import EsrConf, ModelConf
from esr.data import layouts
from esr.records.document import VERSION
from esr.records.network import Weights
from esr.zoo import repository
from esr.zoo.download import sha256_of


def cache_key(settings: EsrConf, weights: Sequence[Weights]) -> str:
    """The key, equal for measurements that need not be repeated.

    Args:
        settings: The composed configuration.
        weights: Of candidate and baseline.

    Raises:
        DataError: The images are missing.
    """
    return digest(
        {
            "record": VERSION,
            "config": relevant(asdict(settings)),
            "weights": [(one.source, one.sha256) for one in weights],
            "code": [_code(model) for model in (settings.model, settings.baseline)],
            "images": _images(settings),
        }
    )


def _images(settings: EsrConf) -> list[tuple[str, int, int]]:
    """Names, sizes and modification times: hashing the pixels of a large set would take longer than skipping saves."""
    if settings.data.kind != "folder":
        return []
    files = [file for files in layouts.find_files(settings.data) for file in files]
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def _code(model: ModelConf) -> str | None:
    """Digest of the file that defines the network's class, located without importing it; of a repository's sources."""
    if model.repository.root:
        return repository.source_digest(Path(model.repository.root))
    module, _, _ = model._target_.rpartition(".")
    names = module.split(".")
    for root in _roots(model):
        for length in range(len(names), 0, -1):
            stem = root.joinpath(*names[:length])
            for file in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
                if file.is_file():
                    return sha256_of(file)
    return None


def _roots(model: ModelConf) -> list[Path]:
    """Folders in which `esr.networks.build` looks for a class, in its order."""
    if model._target_.startswith("esr."):
        return [Path(__file__).resolve().parents[2]]
    beside = [Path(model.source).parent] if model.source else []
    return [*beside, Path.cwd(), *map(Path, sys.path)]
