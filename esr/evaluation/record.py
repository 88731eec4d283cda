"""From what was measured to the document that a record holds."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import msgspec
import numpy as np
from omegaconf import DictConfig, OmegaConf

from esr.config.cards import card_of_model
from esr.config.schema import EsrConf, TimingConf
from esr.data.datasets import Dataset
from esr.evaluation.gallery import Gallery
from esr.evaluation.subject import Subject
from esr.evaluation.verdict import verdict
from esr.images.quality import mean_quality
from esr.records.document import FORMAT, Document
from esr.records.files import decode
from esr.system import environment
from esr.telemetry.watch import TelemetryResult
from esr.timing import statistics
from esr.timing.stopping import Precision, width


@dataclass(frozen=True)
class Measured:
    """Everything that an evaluation has found out."""

    subjects: Sequence[Subject]
    """Candidate and baseline."""
    dataset: Dataset
    processes: Sequence[dict[str, Any]]
    """Of each repetition in fresh processes: its rounds and what ended them; none with the single protocol."""
    telemetry: TelemetryResult
    trace: str | None
    """File name of the telemetry's samples beside the record."""
    gallery: Gallery
    identity: str
    """As `esr.evaluation.cache_key.identity` gives it, when the measurement began."""

    @property
    def rounds(self) -> int:
        """Rounds in all."""
        return sum(entry["rounds"] for entry in self.processes) or 1

    def tables(self) -> list[statistics.Array]:
        """Milliseconds of each network that count, rounds × images."""
        return [subject.table(self.rounds, len(self.dataset.pairs)) for subject in self.subjects]

    def groups(self) -> list[int]:
        """The process of each round."""
        owners = [number for number, entry in enumerate(self.processes) for _ in range(entry["rounds"])]
        return owners or [0]


def build_document(
    config: DictConfig, settings: EsrConf, measured: Measured, started: float, ended: float
) -> Document:
    """The whole record."""
    tables = measured.tables()
    timing = _timing(measured, settings.timing, tables)
    plain = {
        "format": FORMAT,
        "version": 2,
        "id": str(uuid.uuid4()),
        "identity": measured.identity,
        "started": _iso(started),
        "ended": _iso(ended),
        "duration_s": ended - started,
        "config": OmegaConf.to_container(config),
        "environment": environment.fingerprint(),
        "data": _data(measured.dataset),
        "networks": {
            subject.role: _network(subject, settings, measured, table)
            for subject, table in zip(measured.subjects, tables, strict=True)
        },
        "timing": timing,
        "telemetry": {**measured.telemetry.summary, "trace": measured.trace},
        "pictures": measured.gallery.pictures,
        "verdict": verdict(
            measured.subjects, timing["precision"], measured.processes, measured.telemetry.findings
        ),
    }
    return decode(msgspec.json.encode(plain))


def _data(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "has_hr": dataset.has_hr,
        "lr_origin": dataset.lr_origin,
        "images": [
            {"name": pair.name, "lr_shape": list(pair.lr_shape), "lr_sha256": pair.lr_sha256}
            for pair in dataset.pairs
        ],
    }


def _network(
    subject: Subject, settings: EsrConf, measured: Measured, table: statistics.Array
) -> dict[str, Any]:
    return {
        "name": subject.name,
        "card": _card(subject),
        "weights": subject.weights.as_dict(),
        "failure": subject.failure,
        "runtime": subject.runtime,
        "quality": _quality(subject, measured.dataset),
        "complexity": subject.complexity,
        "memory": subject.memory,
        "timing": _network_timing(subject, settings.timing, table, measured.groups()),
        "output_check": subject.outputs.as_dict(),
        "precisions": subject.precisions,
        "switches_changed": subject.switches_changed,
    }


def _quality(subject: Subject, dataset: Dataset) -> dict[str, Any] | None:
    if len(subject.quality) < len(dataset.pairs):
        return None
    return {
        "meaningful": subject.weights.source != "random",
        "mean": mean_quality(subject.quality),
        "images": subject.quality,
    }


def _network_timing(
    subject: Subject, timing: TimingConf, table: statistics.Array, groups: Sequence[int]
) -> dict[str, Any] | None:
    whole = statistics.complete_rounds(table)
    if not whole.any():
        return None
    kept = table[whole]
    estimate = statistics.ms_per_image(
        kept, timing.confidence, timing.resamples, timing.seed, _picked(groups, whole)
    )
    marked = statistics.outliers(subject.columns["image"], subject.columns["ms"])
    return {
        "ms_per_image": estimate.as_dict(),
        "ms_per_image_plain": float(kept.mean()),
        "images": [{"median_ms": float(value)} for value in np.median(kept, axis=0)],
        "complete_rounds": int(whole.sum()),
        "outliers": sum(marked),
        "warmup": subject.warmup,
        "samples": {**subject.columns, "outlier": marked},
        "blocks": subject.blocks,
    }


def _picked(groups: Sequence[int], mask: statistics.Mask) -> list[int]:
    return [group for group, kept in zip(groups, mask, strict=True) if kept]


def _timing(measured: Measured, timing: TimingConf, tables: Sequence[statistics.Array]) -> dict[str, Any]:
    candidate, baseline = measured.subjects
    whole = statistics.complete_rounds(*tables)
    same = candidate.model._target_ == baseline.model._target_ and candidate.model.args == baseline.model.args
    return {
        "protocol": timing.protocol,
        "rounds": measured.rounds,
        "confidence": timing.confidence,
        "seed": timing.seed,
        **_ratios(measured, timing, [table[whole] for table in tables], _picked(measured.groups(), whole)),
        "processes": list(measured.processes),
        "aa": same and candidate.weights.sha256 == baseline.weights.sha256,
    }


def _ratios(
    measured: Measured, timing: TimingConf, tables: Sequence[statistics.Array], groups: Sequence[int]
) -> dict[str, Any]:
    if not groups:
        keys = ("ratio", "ratio_plain", "precision", "spread")
        return {**dict.fromkeys(keys), "ratio_per_round": [], "process_of_round": []}
    candidate, baseline = tables
    how = (timing.confidence, timing.resamples, timing.seed, groups)
    robust = statistics.ratio(candidate, baseline, *how)
    per_round = statistics.ratio_per_round(candidate, baseline).tolist()
    within, between = statistics.spreads(per_round, groups)
    endings = [entry["stopped_by"] for entry in measured.processes] or ["rounds"]
    stopped_by = "max_seconds" if "max_seconds" in endings else endings[-1]
    return {
        "ratio": robust.as_dict(),
        "ratio_plain": statistics.ratio_plain(candidate, baseline, *how).as_dict(),
        "ratio_per_round": per_round,
        "process_of_round": list(groups),
        "spread": {"within": within, "between": between},
        "precision": Precision(timing.precision, width(robust), stopped_by).as_dict(),
    }


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")


def _card(subject: Subject) -> dict[str, Any]:
    card = msgspec.to_builtins(card_of_model(subject.model))
    published = card.pop("published") or {}
    if published:
        published["time_ms"] = published.pop("runtime_ms")
        published["ranks"]["time"] = published["ranks"].pop("runtime")
        psnr = published.pop("psnr_rgb")
        published |= {"psnr_valid": psnr.get("div2k_valid"), "psnr_test": psnr.get("div2k_test")}
    return {**card, "published": published}
