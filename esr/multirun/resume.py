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
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from esr.config import compose as composition
from esr.config.schema import EsrConf, ModelConf, network_name, typed
from esr.data.datasets import find_images
from esr.errors import EsrError, RecordError
from esr.evaluation.cache_key import cache_key
from esr.evaluation.evaluate import evaluate
from esr.multirun.outcomes import NetworkOutcome, NetworkStatus
from esr.multirun.overview import Overview
from esr.records.files import FILE_NAME, Record, load_record
from esr.report.answer import verdict_line
from esr.report.wording import interval
from esr.system.files import ANOTHER_OUT
from esr.system.lock import file_lock, wait_for
from esr.system.progress import Progress
from esr.text import shown_path
from esr.zoo import weights as zoo
from esr.zoo.own_code import code_digest

FAILURE = "failure.txt"
"""In a network's folder: the reason why the last attempt left no usable record."""
_LOCK = ".lock"


def one_of_many(config: DictConfig, folder: Path, overview: Overview, label: str = "") -> NetworkOutcome:
    """Measures a network unless it was measured before; every error becomes its outcome.

    Args:
        config: The composed configuration.
        folder: The network's own.
        overview: Shows the stages.
        label: Words that tell the network from others of its name.
    """
    started = time.monotonic()
    name = _name(config) if config.model.get("_target_") else "no network"
    if label:
        name = f"{name} ({label})"
    overview.begin(name)
    try:
        with _claimed(folder, overview):
            return replace(_measured(config, folder, overview, started), network=name)
    except EsrError as error:
        reason = str(error)
    except Exception as error:  # a defect of esr must not stop the other networks
        traceback.print_exc()
        reason = f"{type(error).__name__}: {error}"
    _note_failure(folder, reason)
    return NetworkOutcome(name, "refused", reason, folder, seconds=time.monotonic() - started)


def _name(config: DictConfig) -> str:
    return network_name(typed(ModelConf, OmegaConf.to_container(config.model, resolve=True)))


@contextmanager
def _claimed(folder: Path, progress: Progress) -> Iterator[None]:
    """Locks the folder against another `esr` with the same command, until the end of the `with` block."""
    try:
        lock = file_lock(folder / _LOCK)
        wait_for(lock, f"another esr with the same command measures {shown_path(folder)}", progress)
    except OSError as error:
        raise RecordError(f"{folder / _LOCK}: cannot be locked ({error.strerror}); {ANOTHER_OUT}") from error
    try:
        yield
    finally:
        lock.release()


def _measured(config: DictConfig, folder: Path, progress: Progress, started: float) -> NetworkOutcome:
    settings = composition.check(config)
    attempts = _attempts(folder)
    for unfinished in [old for old in attempts if not (old / FILE_NAME).is_file()]:  # killed
        shutil.rmtree(unfinished)
        attempts.remove(unfinished)
    if attempts and not settings.force and (records := _finished(folder, _key(settings, progress))):
        return _outcome(records[0], "skipped", folder)
    attempt = folder / str(int(attempts[0].name) + 1 if attempts else 1)
    record = evaluate(settings, attempt, progress)
    _remove_older(folder, attempt, record)
    outcome = _outcome(record, "failed" if record.failed else "measured", folder, time.monotonic() - started)
    if record.failed:
        _note_failure(folder, outcome.detail)
    else:
        (folder / FAILURE).unlink(missing_ok=True)
    return outcome


def _attempts(folder: Path) -> list[Path]:
    """Folders of attempts, newest first."""
    found = [entry for entry in folder.iterdir() if entry.name.isdecimal() and entry.is_dir()]
    return sorted(found, key=lambda path: int(path.name), reverse=True)


def _key(settings: EsrConf, progress: Progress) -> str:
    chosen = ((settings.model, settings.weights), (settings.baseline, settings.baseline_weights))
    weights = [zoo.resolve(model, choice, progress=progress.at) for model, choice in chosen]
    return cache_key(settings, weights, [code_digest(model) for model, _ in chosen], find_images(settings.data))


def _finished(folder: Path, key: str | None) -> list[Record]:
    """Records with this cache key and without a failure, newest first; a damaged one counts as none."""
    records = []
    for attempt in _attempts(folder):
        with suppress(RecordError):
            records.append(load_record(attempt))
    return [record for record in records if record.document.cache_key == key and not record.failed]


def _remove_older(folder: Path, attempt: Path, record: Record) -> None:
    """Removes older attempts; a success outlives a later failure with the same cache key."""
    kept = {attempt}
    if record.failed:
        kept |= {old.path.parent for old in _finished(folder, record.document.cache_key) if old.path}
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
    return "; ".join(f"{whose}{one.failure.kind}: {one.failure.message}" for whose, one in named if one.failure)


def _outcome(record: Record, status: NetworkStatus, folder: Path, seconds: float = 0.0) -> NetworkOutcome:
    detail = _reason(record) if record.failed else _figures(record)
    tainted = record.verdict.status == "tainted"
    return NetworkOutcome(record.candidate.name, status, detail, folder, tainted, seconds)


def _figures(record: Record) -> str:
    """Ratio, PSNR, and the status with its causes."""
    quality = record.candidate.quality
    known = quality.mean.psnr_rgb if quality and quality.meaningful else None
    psnr = [f"PSNR {known:.2f} dB"] if known is not None else []
    return ", ".join([f"ratio {interval(record.ratio, 3)}", *psnr, verdict_line(record) or record.verdict.status])
