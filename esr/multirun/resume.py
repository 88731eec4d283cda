"""One network of a multirun: skipped if it was measured before, measured otherwise; a failure stops no other network.

A network's folder holds a numbered folder for each attempt. An attempt's record is written last, and only then are
older attempts removed: at any moment the folder holds the old record with its files, the new one with its own, or, for
an instant, both.
"""

import shutil
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from filelock import FileLock
from omegaconf import DictConfig

from esr.config import compose as composition
from esr.config.schema import EsrConf, ModelConf, network_name, typed
from esr.errors import EsrError, RecordError
from esr.evaluation.cache_key import cache_key
from esr.evaluation.evaluate import evaluate
from esr.multirun.overview import NetworkOutcome, Overview
from esr.records.files import FILE_NAME, Record, load_record
from esr.report.wording import interval
from esr.system.progress import Progress
from esr.zoo import weights as zoo

FAILURE = "failure.txt"
"""In a network's folder: the reason why the last attempt left no usable record."""
_LOCK = ".lock"


def one_of_many(config: DictConfig, folder: Path, overview: Overview) -> NetworkOutcome:
    """Measures a network unless it was measured before; every error becomes its outcome."""
    started = time.monotonic()
    name = network_name(typed(ModelConf, config.model)) if config.model.get("_target_") else "no network"
    overview.begin(name)
    try:
        with _claimed(folder):
            return _measured(config, folder, overview, started)
    except EsrError as error:
        reason = str(error)
    except Exception as error:  # a defect of esr must not stop the other networks
        traceback.print_exc()
        reason = f"{type(error).__name__}: {error}"
    _note_failure(folder, reason)
    return NetworkOutcome(name, "refused", reason, folder, seconds=time.monotonic() - started)


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Locks the folder against another `esr` with the same command."""
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire()
    except OSError as error:
        raise RecordError(
            f"{folder / _LOCK}: cannot be locked ({error.strerror}); choose another folder with out=DIR"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _measured(config: DictConfig, folder: Path, progress: Progress, started: float) -> NetworkOutcome:
    settings = composition.check(config)
    _remove_unfinished(folder)
    if not settings.force and (record := _finished(folder, settings, progress)):
        return _outcome(record, "skipped", folder)
    attempt = folder / str(max((int(old.name) for old in _attempts(folder)), default=0) + 1)
    record = evaluate(settings, attempt, progress)
    _remove_older(folder, attempt, record)
    seconds = time.monotonic() - started
    if record.failed:
        _note_failure(folder, reason := _reason(record))
        return NetworkOutcome(record.candidate.name, "failed", reason, folder, seconds=seconds)
    (folder / FAILURE).unlink(missing_ok=True)
    return _outcome(record, "measured", folder, seconds)


def _attempts(folder: Path) -> list[Path]:
    return [entry for entry in folder.iterdir() if entry.name.isdecimal() and entry.is_dir()]


def _remove_unfinished(folder: Path) -> None:
    """Removes the remains of killed attempts."""
    for attempt in _attempts(folder):
        if not (attempt / FILE_NAME).is_file():
            shutil.rmtree(attempt)


def _finished(folder: Path, settings: EsrConf, progress: Progress) -> Record | None:
    """A record with the same cache key and without a failure."""
    records = _records(folder)
    if not records:
        return None
    chosen = ((settings.model, settings.weights), (settings.baseline, settings.baseline_weights))
    weights = [zoo.resolve(model, choice, progress=progress.at) for model, choice in chosen]
    key = cache_key(settings, weights)
    return next((record for record in records if _stands_for(record, key)), None)


def _records(folder: Path) -> list[Record]:
    """Readable records, newest first; a network whose record is damaged is measured again."""
    records = []
    for attempt in sorted(_attempts(folder), key=lambda path: -int(path.name)):
        try:
            records.append(load_record(attempt))
        except RecordError:
            continue
    return records


def _stands_for(record: Record, key: str | None) -> bool:
    return record.document.cache_key == key and not record.failed


def _remove_older(folder: Path, attempt: Path, record: Record) -> None:
    """Removes older attempts; a success outlives a later failure with the same cache key."""
    kept = {attempt}
    if record.failed:
        key = record.document.cache_key
        kept |= {old.path.parent for old in _records(folder) if old.path and _stands_for(old, key)}
    for old in _attempts(folder):
        if old not in kept:
            (old / FILE_NAME).unlink(missing_ok=True)  # first, so that it never lacks its files
            shutil.rmtree(old)


def _note_failure(folder: Path, reason: str) -> None:
    try:
        (folder / FAILURE).write_text(f"{reason}\n", encoding="utf-8")
    except OSError as error:
        print(f"esr: {folder / FAILURE}: cannot be written ({error.strerror})", file=sys.stderr)


def _reason(record: Record) -> str:
    """Failures of the network and of the baseline beside it."""
    named = (("", record.candidate), (f"baseline {record.baseline.name}, ", record.baseline))
    return "; ".join(
        f"{whose}{network.failure.kind}: {network.failure.message}" for whose, network in named if network.failure
    )


def _outcome(
    record: Record, status: Literal["measured", "skipped"], folder: Path, seconds: float = 0.0
) -> NetworkOutcome:
    verdict = record.verdict.status
    detail = f"ratio {interval(record.ratio, 3)}, {verdict}"
    return NetworkOutcome(record.candidate.name, status, detail, folder, verdict == "tainted", seconds)
