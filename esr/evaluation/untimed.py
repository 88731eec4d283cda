"""Untimed results of a baseline, kept beside the records: quality, counts, memory and audit need no second measurement.

The files are this process's own: workers cannot see their folder. They are neither read nor written where networks are
not contained.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path

import msgspec

import esr
from esr.config.digest import CARD_KEYS, digest
from esr.config.terms import Count
from esr.evaluation.containment import RESULTS_CACHE
from esr.evaluation.reproduction import Likeness
from esr.evaluation.steps import Evaluation
from esr.evaluation.subject import Subject, WatchedImage
from esr.evaluation.worker.messages import InspectAnswer
from esr.records.network import Complexity, Memory, Quality, SettingValue
from esr.system import files

FORMAT = 3


class Untimed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an evaluation found out about a network without timing it."""

    evaluation: str
    """UUID of the evaluation."""
    quality: tuple[Quality, ...]
    on_images: Likeness
    memory: Memory | None
    complexity: Complexity | None
    uncounted: str | None
    padded_to: int | None
    inspected: InspectAnswer
    unproven: str | None
    precisions: dict[str, tuple[str, ...]]
    switches_changed: dict[str, SettingValue]
    changes_input: bool
    tiles: Count
    extrapolated: Complexity | None
    watched_image: WatchedImage | None


_OF_SUBJECT = tuple(name for name in Untimed.__struct_fields__ if name != "evaluation")
"""Fields that a `Subject` has under the same name."""


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the cache."""

    key: str
    sha256: str
    """Of the content."""
    content: msgspec.Raw


def reuse(evaluation: Evaluation) -> None:
    """Takes the baseline's untimed results from the cache, if it has them."""
    file = _file(evaluation)
    if file is None or evaluation.settings.force or evaluation.gallery.saves:
        return
    found = _read(file)
    if found is not None and len(found.quality) == _graded(evaluation):
        _take(evaluation.baseline, found)


def _take(subject: Subject, found: Untimed) -> None:
    subject.untimed_from = found.evaluation
    for name in _OF_SUBJECT:
        setattr(subject, name, getattr(found, name))
    subject.quality = [*found.quality]


def keep(evaluation: Evaluation, evaluation_id: str) -> None:
    """Puts the baseline's untimed results into the cache, once all are known; a folder that is full keeps none."""
    subject, file = evaluation.baseline, _file(evaluation)
    complete = subject.failure is None and len(subject.quality) == _graded(evaluation)
    if file is None or subject.untimed_from is not None or not complete or subject.inspected is None:
        return
    content = msgspec.json.encode(Untimed(evaluation_id, **{name: getattr(subject, name) for name in _OF_SUBJECT}))
    kept = Kept(file.stem, hashlib.sha256(content).hexdigest(), msgspec.Raw(content))
    try:
        files.replace(file, msgspec.json.encode(kept))
    except OSError:  # the record is what counts
        return


def _graded(evaluation: Evaluation) -> int:
    return len(evaluation.dataset.pairs) if evaluation.dataset.has_hr else 0


def _read(file: Path) -> Untimed | None:
    """The content of a file; `None` where it is missing, or not as it was written."""
    try:
        kept = msgspec.json.decode(file.read_bytes(), type=Kept)
        if kept.key != file.stem or kept.sha256 != hashlib.sha256(kept.content).hexdigest():
            return None
        return msgspec.json.decode(kept.content, type=Untimed)
    except (OSError, msgspec.MsgspecError, RecursionError):
        return None


def _file(evaluation: Evaluation) -> Path | None:
    """The baseline's file; `None` where nothing may be kept, or its code is not known."""
    subject = evaluation.baseline
    if evaluation.folder is None or subject.report is None or subject.code_sha256 is None:
        return None
    if not all(each.contained for each in evaluation.subjects):
        return None
    return Path(evaluation.settings.out) / RESULTS_CACHE / f"{_key(evaluation, subject, subject.code_sha256)}.json"


def _key(evaluation: Evaluation, subject: Subject, code: str) -> str:
    """Digest of all that untimed results depend on."""
    settings, report = evaluation.settings, subject.report
    model = {name: value for name, value in asdict(settings.baseline).items() if name not in CARD_KEYS}
    return digest(
        {
            "format": FORMAT,
            "esr": _own_code(),
            "model": model,
            "weights": (subject.weights.source, subject.weights.sha256),
            "code": code,
            "images": [_image(pair.lr_sha256, pair.hr_file) for pair in evaluation.dataset.pairs],
            "quality": settings.quality.border,
            "complexity": asdict(settings.complexity),
            "single": settings.timing.protocol == "single",
            "worker": msgspec.to_builtins(msgspec.structs.replace(report, pid=0, sandbox=None)) if report else None,
        }
    )


def _image(lr_sha256: str, hr: Path | None) -> tuple[str | float, ...]:
    if hr is None:
        return (lr_sha256,)
    status = hr.stat()
    return lr_sha256, hr.name, status.st_size, status.st_mtime


@cache
def _own_code() -> Mapping[str, tuple[int, float]]:
    """Size and time of every source file of this program: its next version may measure in another way."""
    root = Path(esr.__file__).parent
    found = ((file.relative_to(root).as_posix(), file.stat()) for file in sorted(root.rglob("*.py")))
    return {name: (status.st_size, status.st_mtime) for name, status in found}
