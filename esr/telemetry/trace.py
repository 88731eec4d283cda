"""Every sample as `telemetry.csv.gz` beside the record: one row per sample, empty cells for columns not read."""

import csv
import gzip
import io
import re
from collections.abc import Iterable
from pathlib import Path

from esr.errors import RecordError
from esr.system import files, nvml
from esr.system.nvml import Sample
from esr.telemetry import host
from esr.telemetry.sampler import TIME

FILE_NAME = "telemetry.csv.gz"
_LEADING = (TIME, *nvml.TIMED, nvml.ENERGY, host.TOTAL, host.BUSY, host.OWN, host.ENERGY, "host_temperature_c")
_HEXADECIMAL = "gpu_reasons"


def write_trace(samples: Iterable[Sample], folder: Path) -> str:
    """Writes the samples atomically, in order of time; equal samples give equal bytes.

    Returns:
        Name of the file within `folder`.

    Raises:
        RecordError: The folder cannot be written.
    """
    rows = sorted(samples, key=lambda sample: sample[TIME])
    present = {column for row in rows for column in row}
    columns = [column for column in _LEADING if column in present]
    columns += sorted(present.difference(columns), key=_core_number)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_word(column, row.get(column)) for column in columns] for row in rows)
    packed = gzip.compress(text.getvalue().encode("ascii"), mtime=0)
    files.write(folder / FILE_NAME, packed, RecordError)
    return FILE_NAME


def read_trace(path: Path) -> list[Sample]:
    """Reads a trace; a sample holds only the columns that were read at its time.

    Raises:
        RecordError: It cannot be read, or is not a trace.
    """
    try:
        with gzip.open(path, "rt", encoding="ascii", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
        return [{column: _number(column, word) for column, word in row.items() if word} for row in rows]
    except (OSError, EOFError, ValueError, TypeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "not a trace, or cut short"
        raise RecordError(f"{path}: cannot be read ({reason}); measure again for a new trace") from error


def _core_number(column: str) -> tuple[int, str]:
    digits = re.search(r"\d+", column)
    return (int(digits.group()) if digits else 0, column)


def _word(column: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{int(value):#x}" if column == _HEXADECIMAL else f"{value:.10g}"


def _number(column: str, word: str) -> float:
    return int(word, 16) if column == _HEXADECIMAL else float(word)
