"""From what was measured to the document that a record holds."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from esr import environment
from esr.cards import card_of_model
from esr.config import EsrConf, TimingConf
from esr.datasets import Dataset
from esr.quality import mean_quality
from esr.records import FORMAT, VERSION
from esr.subject import OUTPUT_TOLERANCE, Subject
from esr.timing import statistics


def build_document(
    config: DictConfig,
    settings: EsrConf,
    dataset: Dataset,
    subjects: Sequence[Subject],
    started: float,
    ended: float,
) -> dict[str, Any]:
    """The whole record as plain data; `record.schema.json` describes every field."""
    tables = [statistics.matrix(s.columns, settings.timing.rounds, len(dataset.pairs)) for s in subjects]
    return {
        "format": FORMAT,
        "version": VERSION,
        "id": str(uuid.uuid4()),
        "started": _iso(started),
        "ended": _iso(ended),
        "duration_s": ended - started,
        "config": OmegaConf.to_container(config),
        "environment": environment.fingerprint(),
        "data": {
            "name": dataset.name,
            "has_hr": dataset.has_hr,
            "lr_origin": dataset.lr_origin,
            "images": [
                {"name": pair.name, "lr_shape": list(pair.lr_shape), "lr_sha256": pair.lr_sha256}
                for pair in dataset.pairs
            ],
        },
        "networks": {
            subject.role: _network(subject, settings, dataset, table)
            for subject, table in zip(subjects, tables, strict=True)
        },
        "timing": _timing(subjects, settings.timing, tables),
        "verdict": verdict(subjects),
    }


def verdict(subjects: Sequence[Subject]) -> dict[str, Any]:
    """`failed`, `tainted` or `clean`, with every reason, the network it concerns and a line that explains it."""
    reasons = []
    for subject in subjects:
        if subject.differing:
            detail = (
                f"{len(subject.differing)} of {subject.compared} checked passes, by up to "
                f"{subject.largest_difference} grey levels"
            )
            reasons.append({"reason": "outputs_differ", "network": subject.role, "detail": detail})
        unsettled = [entry["lr_shape"] for entry in subject.warmup if not entry["settled"]]
        if unsettled:
            sizes = ", ".join(f"{height}×{width}" for height, width in unsettled)
            reasons.append({"reason": "warmup_cap", "network": subject.role, "detail": f"LR {sizes}"})
    if any(subject.failure for subject in subjects):
        return {"status": "failed", "reasons": reasons}
    return {"status": "tainted" if reasons else "clean", "reasons": reasons}


def _network(
    subject: Subject, settings: EsrConf, dataset: Dataset, table: statistics.Array
) -> dict[str, Any]:
    return {
        "name": subject.name,
        "card": asdict(card_of_model(subject.model)),
        "weights": subject.weights.as_dict(),
        "failure": subject.failure,
        "runtime": subject.runtime,
        "quality": _quality(subject, dataset),
        "complexity": subject.complexity,
        "memory": subject.memory,
        "timing": _network_timing(subject, settings.timing, table),
        "output_check": {
            "compared": subject.compared,
            "differing": len(subject.differing),
            "largest_difference": subject.largest_difference,
            "tolerance": OUTPUT_TOLERANCE,
        },
    }


def _quality(subject: Subject, dataset: Dataset) -> dict[str, Any] | None:
    if len(subject.quality) < len(dataset.pairs):
        return None
    return {
        "meaningful": subject.weights.source != "random",
        "mean": mean_quality(subject.quality).as_dict(),
        "images": [quality.as_dict() for quality in subject.quality],
    }


def _network_timing(subject: Subject, timing: TimingConf, table: statistics.Array) -> dict[str, Any] | None:
    whole = statistics.complete_rounds(table)
    if not whole.any():
        return None
    estimate = statistics.ms_per_image(table[whole], timing.confidence, timing.resamples, timing.seed)
    return {
        "ms_per_image": estimate.as_dict(),
        "images": [{"median_ms": float(value)} for value in np.median(table[whole], axis=0)],
        "complete_rounds": int(whole.sum()),
        "warmup": subject.warmup,
        "samples": subject.columns,
        "blocks": subject.blocks,
    }


def _timing(
    subjects: Sequence[Subject], timing: TimingConf, tables: Sequence[statistics.Array]
) -> dict[str, Any]:
    whole = statistics.complete_rounds(*tables)
    ratio = None
    rounds: list[float] = []
    if whole.any():
        candidate, baseline = (table[whole] for table in tables)
        ratio = statistics.ratio(
            candidate, baseline, timing.confidence, timing.resamples, timing.seed
        ).as_dict()
        rounds = statistics.ratio_per_round(candidate, baseline).tolist()
    return {
        "protocol": timing.protocol,
        "rounds": timing.rounds,
        "confidence": timing.confidence,
        "seed": timing.seed,
        "ratio": ratio,
        "ratio_per_round": rounds,
        "aa": subjects[0].weights.sha256 == subjects[1].weights.sha256
        and subjects[0].model._target_ == subjects[1].model._target_
        and subjects[0].model.args == subjects[1].model.args,
    }


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")
