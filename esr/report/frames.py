"""Rankings and samples as pandas data frames; pandas is imported only here."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from esr.config.terms import ROLES, Role
from esr.errors import ConfigError
from esr.ranking.structures import Ranking
from esr.records.files import Record
from esr.report.data import Tidy, tidy

if TYPE_CHECKING:
    from pandas import DataFrame

_FIGURES = ("ms", "wall_ms", "enqueue_ms", "parent_ms", "altered", "outlier")
"""Columns of `Samples` that are shown as they are."""


def ranking_frame(ranking: Ranking) -> "DataFrame":
    """One row per network, in the ranking's order, with the columns of the CSV.

    Raises:
        ConfigError: pandas is not installed.
    """
    return _frame(tidy(ranking))


def samples_frame(record: Record) -> "DataFrame":
    """One row per timed pass of both networks.

    Raises:
        ConfigError: pandas is not installed.
        RecordError: The samples do not fit their type.
    """
    return _frame([row for role in ROLES for row in _passes(record, role)])


def _frame(rows: list[Tidy]) -> "DataFrame":
    try:
        import pandas  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError("data frames need pandas, which is not installed: pip install pandas") from error
    found = pandas.DataFrame(rows).convert_dtypes()  # integers stay integers where a value is missing
    return found.astype(dict.fromkeys(found.select_dtypes("Float64"), float))  # charts take NaN, but no pandas.NA


def _passes(record: Record, role: Role) -> Iterator[Tidy]:
    network, images = record.document.networks.of(role), record.document.data.load_images()
    if network.timing is None:
        return
    samples, process = network.timing.load_samples(), record.document.timing.process_of_round
    columns = {name: getattr(samples, name) for name in _FIGURES}
    for place, (turn, index) in enumerate(zip(samples.round, samples.image, strict=True)):
        height, width = images[index].lr_shape
        yield {
            "network": network.name,
            "role": role,
            "process": process[turn] if turn < len(process) else None,
            "round": turn,
            "block": samples.block[place],
            "image": images[index].name,
            "lr_height": height,
            "lr_width": width,
            **{name: column[place] if column else None for name, column in columns.items()},
        }
