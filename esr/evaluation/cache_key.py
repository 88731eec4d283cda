"""Cache key of a measurement: a digest of configuration, weights, code and images.

A multirun skips networks that have a record with the same key.
"""

from collections.abc import Sequence
from dataclasses import asdict

from esr.config.digest import digest, relevant
from esr.config.schema import EsrConf
from esr.data.datasets import find
from esr.data.layouts import Found
from esr.evaluation.own_code import code_digest
from esr.records.document import VERSION
from esr.records.network import Weights


def cache_key(settings: EsrConf, weights: Sequence[Weights], found: Found | None = None) -> str:
    """The key, equal for measurements that need not be repeated.

    Args:
        settings: The composed configuration.
        weights: Of candidate and baseline.
        found: The images; `None`: they are looked for.

    Raises:
        DataError: The images are missing.
    """
    return digest(
        {
            "record": VERSION,
            "config": relevant(asdict(settings)),
            "weights": [(one.source, one.sha256) for one in weights],
            "code": [code_digest(model) for model in (settings.model, settings.baseline)],
            "images": _images(settings, found),
        }
    )


def _images(settings: EsrConf, found: Found | None) -> list[tuple[str, int, int]]:
    """Names, sizes and modification times: hashing the pixels of a large set would take longer than skipping saves."""
    if settings.data.kind != "folder":
        return []
    found = found or find(settings.data)
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in (*found.hr, *found.lr)]
