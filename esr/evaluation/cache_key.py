"""Cache key of a measurement: a digest of configuration, weights, code and images.

A multirun skips networks that have a record with the same key.
"""

from collections.abc import Sequence
from dataclasses import asdict

from esr.config.digest import digest, relevant
from esr.config.schema import EsrConf
from esr.data.layouts import Found
from esr.records.document import VERSION
from esr.records.network import Weights


def cache_key(settings: EsrConf, weights: Sequence[Weights], code: Sequence[str | None], images: Found) -> str:
    """The key, equal for measurements that need not be repeated.

    Args:
        settings: The composed configuration.
        weights: Of candidate and baseline.
        code: Digests of their source files.
        images: By their names, sizes and modification times: hashing the pixels of a large set would take longer than
            skipping saves.
    """
    files = (*images.hr, *images.lr) if settings.data.kind == "folder" else ()
    return digest(
        {
            "record": VERSION,
            "config": relevant(asdict(settings)),
            "weights": [(one.source, one.sha256) for one in weights],
            "code": code,
            "images": [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files],
        }
    )
