"""The result record: one JSON document per evaluation, versioned, validated, written whole or not at all."""

import json
import os
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from esr.errors import RecordError
from esr.system import files as atomic
from esr.telemetry import verdict as telemetry_verdict

FORMAT = "esr-record"
VERSION = 2
FILE_NAME = "record.json"
SCHEMA_FILE = Path(__file__).with_name("record.schema.json")
ROOM = 1 << 20
"""Bytes that must be free where a record is to be written: that of a long run takes half as many."""
CPU_NOTE = "CPU; not comparable with published milliseconds, nor with published memory"
TAINT, WARNING = "taint", "warning"
"""How grave a reason is: a warning leaves the verdict clean."""

REASONS = {
    "outputs_differ": "outputs of timed passes differ from those of untimed passes over the same inputs",
    "warmup_cap": "warm-up ended at its cap before successive passes had settled",
    "precision_not_reached": "the ratio's interval is wider than timing.precision asks for",
    "remembers_inputs": "passes over inputs seen before are faster than passes over new ones",
    "time_unaccounted": "the worker claims less time than passed by the parent's clock",
    "precision_changed": "the network computes in another precision than float32",
    "switches_changed": "the network changed what the configuration sets: cuDNN, TF32, threads, CPUs",
    **telemetry_verdict.REASONS,
}
"""Every reason for which a measurement can be tainted."""


@dataclass(frozen=True)
class Record:
    """One evaluation: a candidate, the baseline it was paired with, and everything needed to recompute each figure."""

    document: dict[str, Any]
    """The JSON document; `record.schema.json` describes it."""
    path: Path | None = None
    """Where it lies; none: it was not written."""

    @property
    def candidate(self) -> dict[str, Any]:
        """The network that was asked about."""
        network: dict[str, Any] = self.document["networks"]["candidate"]
        return network

    @property
    def baseline(self) -> dict[str, Any]:
        """The network it was paired with."""
        network: dict[str, Any] = self.document["networks"]["baseline"]
        return network

    @property
    def ratio(self) -> dict[str, float | None] | None:
        """Candidate's over baseline's runtime: `value`, `low`, `high`; none where one of them failed."""
        ratio: dict[str, float | None] | None = self.document["timing"]["ratio"]
        return ratio

    @property
    def verdict(self) -> dict[str, Any]:
        """`status` (`clean`, `tainted` or `failed`) and the `reasons`."""
        verdict: dict[str, Any] = self.document["verdict"]
        return verdict

    @property
    def failures(self) -> list[dict[str, str]]:
        """What failed: `network`, `stage`, `kind`, `message` of each."""
        return [
            {"network": network["name"], **network["failure"]}
            for network in self.document["networks"].values()
            if network["failure"]
        ]


@cache
def schema() -> dict[str, Any]:
    """The published JSON Schema of a record."""
    loaded: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return loaded


def validate(document: object) -> None:
    """Checks a document against the schema.

    Raises:
        RecordError: The line names the first place that does not fit.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise RecordError(f"not a record of esr: no 'format': '{FORMAT}' in it")
    if (version := document.get("version")) != VERSION:
        older = isinstance(version, int) and version < VERSION
        remedy = "measure again" if older else "update esr"
        raise RecordError(f"record of version {version!r}: this esr reads version {VERSION}; {remedy}")
    from jsonschema import Draft202012Validator  # noqa: PLC0415 - a tenth of a second that --help need not spend
    from jsonschema.exceptions import best_match  # noqa: PLC0415

    if error := best_match(Draft202012Validator(schema()).iter_errors(document)):
        raise RecordError(f"at {error.json_path}: {error.message[:300]}")


def load_record(path: str | os.PathLike[str]) -> Record:
    """Reads and checks a record: the file, or the folder that holds its `record.json`.

    Raises:
        RecordError: It cannot be read, is not JSON, or is not a record of this version.
    """
    file = Path(path)
    if file.is_dir():
        file /= FILE_NAME
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordError(f"{file}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise RecordError(
            f"{file}: not JSON ({error}); a record is written whole, so this file was changed"
        ) from error
    try:
        validate(document)
    except RecordError as error:
        raise RecordError(f"{file}: {error}") from None
    return Record(document, file)


def require_room(folder: Path) -> None:
    """Refuses a folder on a disk that is as good as full, before anything is measured for it.

    Raises:
        RecordError: Less is free than a record with its trace may take, 1 MiB.
    """
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
    if (free := shutil.disk_usage(there).free) < ROOM:
        raise RecordError(
            f"{folder}: {free // 1024} KiB are free there, and a record with its trace may take {ROOM // 1024}; "
            "make room, or choose another folder with out=DIR"
        )


def write_record(document: dict[str, Any], folder: Path) -> Record:
    """Validates and writes `record.json` into a folder: the old file or the new one, never half.

    Raises:
        RecordError: The document does not fit the schema, or the folder cannot be written.
    """
    validate(document)
    text = json.dumps(document, indent=1, allow_nan=False)
    target = folder / FILE_NAME
    try:
        atomic.replace(target, text.encode())
    except OSError as error:
        raise RecordError(
            f"{target}: cannot be written ({error.strerror}); choose another folder with out=DIR"
        ) from error
    return Record(document, target)
