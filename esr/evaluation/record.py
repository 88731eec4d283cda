"""The record of a finished evaluation."""

import time
import uuid
from collections.abc import Sequence
from datetime import datetime, timezone
from itertools import compress
from typing import cast

import msgspec
import numpy as np
from msgspec.structs import replace

from esr.config.cards import card_of_model
from esr.config.schema import TimingConf
from esr.config.terms import Ending, Protocol
from esr.evaluation.steps import Evaluation
from esr.evaluation.subject import Subject
from esr.evaluation.verdict import compare_truth, precision_class, verdict
from esr.images.quality import mean_quality
from esr.records import document
from esr.records.network import Network, NetworkTiming, QualityPart
from esr.records.telemetry import Telemetry
from esr.telemetry import environment
from esr.telemetry.findings import judge_cycles
from esr.telemetry.watch import WatchResult
from esr.timing import second_opinion, statistics
from esr.timing.statistics import Array, Mask
from esr.timing.stopping import precision


def build_document(
    evaluation: Evaluation, processes: Sequence[document.Process], watched: WatchResult, key: str, started: float
) -> document.Document:
    """The whole record.

    Args:
        evaluation: With its results.
        processes: Repetitions in fresh processes; empty with the single protocol.
        watched: Telemetry of the whole evaluation, with the disturbances that it found.
        key: Cache key, computed when the evaluation began.
        started: Seconds since the epoch.
    """
    ended = time.time()
    dataset = evaluation.dataset
    owners = [number for number, process in enumerate(processes) for _ in range(process.rounds)] or [0]
    tables = [subject.table(len(owners), len(dataset.pairs)) for subject in evaluation.subjects]
    networks = [_network(evaluation, *pair, owners) for pair in zip(evaluation.subjects, tables, strict=True)]
    shapes = [pair.lr_shape for pair in dataset.pairs]
    clocks = [subject.clocks(len(owners), shapes) for subject in evaluation.subjects]
    timing = _timing(evaluation, processes, tables, owners, watched.telemetry)
    images = [document.Image(pair.name, pair.lr_shape, pair.lr_sha256) for pair in dataset.pairs]
    return document.Document(
        format=document.FORMAT,
        version=document.VERSION,
        id=str(uuid.uuid4()),
        cache_key=key,
        started=_moment(started),
        ended=_moment(ended),
        duration_s=ended - started,
        config=_raw(evaluation.settings),
        environment=environment.fingerprint(),
        data=document.Data(dataset.name, dataset.has_hr, dataset.lr_origin, _raw(images)),
        networks=document.Networks(*networks),
        timing=timing,
        telemetry=watched.telemetry,
        pictures=evaluation.gallery.pictures,
        verdict=verdict(
            evaluation.subjects,
            clocks,
            timing.precision,
            processes,
            [*watched.disturbances, *judge_cycles(timing.ratio, timing.cycles)],
            statistics.dependent(timing),
        ),
    )


def _raw(part: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(part))


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(round(seconds, 3), timezone.utc)


def _network(evaluation: Evaluation, subject: Subject, table: Array, owners: Sequence[int]) -> Network:
    truth = compare_truth(subject, evaluation.baseline if subject is evaluation.candidate else evaluation.candidate)
    return Network(
        name=subject.name,
        card=card_of_model(subject.model),
        weights=subject.weights,
        failure=subject.failure,
        worker=subject.report,
        quality=_quality(subject, len(evaluation.dataset.pairs)),
        complexity=subject.complexity,
        memory=subject.memory,
        timing=_network_timing(subject, evaluation.settings.timing, table, owners),
        output_check=subject.output_check if truth is None else replace(subject.output_check, truth=truth),
        precisions=subject.precisions,
        switches_changed=subject.switches_changed,
        loading=subject.loading,
        precision=precision_class(subject),
        padded_to=subject.padded_to,
        uncounted=subject.uncounted,
        kernels=subject.kernels,
    )


def _quality(subject: Subject, images: int) -> QualityPart | None:
    if len(subject.quality) < images:
        return None
    return QualityPart(subject.weights.source != "random", mean_quality(subject.quality), tuple(subject.quality))


def _network_timing(subject: Subject, timing: TimingConf, table: Array, owners: Sequence[int]) -> NetworkTiming | None:
    whole = statistics.complete_rounds(table)
    if not whole.any():
        return None
    kept = table[whole]
    groups = list(compress(owners, whole))
    outlier = statistics.outliers(subject.samples.image, subject.samples.ms)
    return NetworkTiming(
        runtime_ms=statistics.runtime_ms(kept, timing.confidence, groups),
        runtime_ms_plain=float(kept.mean()),
        median_ms=tuple(np.median(kept, axis=0).tolist()),
        complete_rounds=int(whole.sum()),
        outliers=sum(outlier),
        passes=len(outlier),
        warmup=_raw(subject.warmup),
        samples=_raw(subject.samples.finish(outlier)),
        blocks=_raw(subject.blocks),
    )


def _timing(
    evaluation: Evaluation,
    processes: Sequence[document.Process],
    tables: Sequence[Array],
    owners: Sequence[int],
    telemetry: Telemetry,
) -> document.Timing:
    conf = evaluation.settings.timing
    whole = statistics.complete_rounds(*tables)
    candidate, baseline = (table[whole] for table in tables)
    kept = list(compress(owners, whole))
    per_round = statistics.ratio_per_round(candidate, baseline)
    ratio = statistics.ratio(candidate, baseline, conf.confidence, kept) if kept else None
    endings = [process.stopped_by for process in processes] or ["rounds"]
    ending: Ending = "max_seconds" if "max_seconds" in endings else endings[-1]
    return document.Timing(
        protocol=cast(Protocol, conf.protocol),
        rounds=len(owners),
        confidence=conf.confidence,
        seed=conf.seed,
        ratio=ratio,
        ratio_plain=statistics.ratio_plain(candidate, baseline, conf.confidence, kept) if kept else None,
        ratio_per_round=tuple(per_round.tolist()),
        ratio_parent=_by_parent(evaluation, len(owners), whole),
        process_of_round=tuple(kept),
        spread=document.Dispersion(*statistics.spreads(per_round.tolist(), kept)) if kept else None,
        precision=precision(ratio, conf.precision, ending) if ratio else None,
        processes=tuple(processes),
        aa=_same(evaluation.candidate, evaluation.baseline),
        dependence=statistics.dependence(per_round, kept) if kept else None,
        cycles=second_opinion.cycles(evaluation.subjects, tables, owners, telemetry, conf),
        energy=second_opinion.energy_ratio(evaluation.subjects, tables, owners, telemetry, conf),
    )


def _by_parent(evaluation: Evaluation, rounds: int, whole: Mask) -> float | None:
    """The ratio by the parent's clock, over the same rounds."""
    images = len(evaluation.dataset.pairs)
    tables = [subject.parent_table(rounds, images)[whole].sum(axis=1) for subject in evaluation.subjects]
    if not whole.any() or not (tables[1] > 0).all():
        return None
    return float(np.median(tables[0] / tables[1]))


def _same(one: Subject, other: Subject) -> bool:
    built = [(network._target_, network.args, network.repository) for network in (one.model, other.model)]
    return built[0] == built[1] and one.weights.sha256 == other.weights.sha256
