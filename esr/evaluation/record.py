"""The record of a finished evaluation."""

import dataclasses
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
from esr.config.digest import CARD_KEYS
from esr.config.schema import TimingConf
from esr.config.terms import Ending, Protocol
from esr.evaluation.steps import Evaluation
from esr.evaluation.subject import Subject
from esr.evaluation.verdict import compare_truth, precision_class, verdict
from esr.images.quality import mean_quality
from esr.records import document, intervals
from esr.records.network import Network, NetworkTiming, QualityPart
from esr.records.telemetry import Telemetry
from esr.telemetry import environment
from esr.telemetry.findings import judge_cycles
from esr.telemetry.watch import WatchResult
from esr.text import shown_path
from esr.timing import honesty, second_opinion, statistics
from esr.timing.statistics import Array
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
    clocks = [_clocks(evaluation, subject, len(owners)) for subject in evaluation.subjects]
    timing = _timing(evaluation, processes, tables, owners, watched.telemetry)
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
        data=_data(evaluation),
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


def _clocks(evaluation: Evaluation, subject: Subject, rounds: int) -> honesty.Clocks:
    clocks = subject.clocks(rounds, len(evaluation.dataset.pairs))
    comparable = subject.on_gpu or precision_class(subject) == "fp32"
    if not comparable or not evaluation.macs_per_s:
        return clocks
    shapes = [pair.lr_shape for pair in evaluation.dataset.pairs]
    return dataclasses.replace(clocks, least_ms=subject.least_ms(shapes, evaluation.macs_per_s))


def _data(evaluation: Evaluation) -> document.Data:
    dataset = evaluation.dataset
    bicubic = evaluation.bicubic_psnr
    return document.Data(
        name=dataset.name,
        has_hr=dataset.has_hr,
        lr_origin=dataset.lr_origin,
        images=_raw([document.Image(pair.name, pair.lr_shape, pair.lr_sha256) for pair in dataset.pairs]),
        lr_folder=None if dataset.lr_folder is None else shown_path(dataset.lr_folder),
        skipped=sum(one.images for one in dataset.skipped),
        skipped_from=tuple(str(one) for one in dataset.skipped[:100]),
        complete=dataset.complete,
        bicubic_psnr_rgb=float(np.mean(bicubic)) if bicubic and np.isfinite(bicubic).all() else None,
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
        code_sha256=subject.code_sha256,
        kernels=subject.kernels,
        untimed_from=subject.untimed_from,
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
    conf, plan = evaluation.settings.timing, evaluation.plan
    whole = statistics.complete_rounds(*tables)
    candidate, baseline = (table[whole] for table in tables)
    kept = list(compress(owners, whole))
    per_round = statistics.ratio_per_round(candidate, baseline)
    ratio = statistics.ratio(candidate, baseline, conf.confidence, kept) if kept else None
    endings = [process.stopped_by for process in processes] or ["rounds"]
    ending: Ending = "max_seconds" if "max_seconds" in endings else endings[-1]
    by_parent = [one.parent_table(len(owners), len(evaluation.dataset.pairs))[whole] for one in evaluation.subjects]
    return document.Timing(
        protocol=cast(Protocol, conf.protocol),
        rounds=len(owners),
        confidence=conf.confidence,
        seed=plan.seed,
        ratio=ratio,
        ratio_plain=statistics.ratio_plain(candidate, baseline, conf.confidence, kept) if kept else None,
        ratio_per_round=tuple(per_round.tolist()),
        ratio_parent=honesty.ratio_by_parent(*by_parent),
        process_of_round=tuple(kept),
        spread=document.Dispersion(*statistics.spreads(per_round.tolist(), kept)) if kept else None,
        precision=precision(ratio, plan.precision, ending) if ratio else None,
        processes=tuple(processes),
        aa=same_network(evaluation.candidate, evaluation.baseline),
        dependence=intervals.dependence(per_round.tolist(), kept) if kept else None,
        cycles=second_opinion.cycles(evaluation.subjects, tables, owners, telemetry, conf),
        energy=second_opinion.energy_ratio(evaluation.subjects, tables, owners, telemetry, conf),
    )


def same_network(one: Subject, other: Subject) -> bool:
    """True for one network twice, whatever it is called."""
    names = (*CARD_KEYS, "name", "checkpoint")
    built = [{key: value for key, value in vars(each.model).items() if key not in names} for each in (one, other)]
    loaded = [(each.weights.sha256, each.code_sha256, each.model.checkpoint.state_dict_under) for each in (one, other)]
    return built[0] == built[1] and loaded[0] == loaded[1]
