"""The main job: one network, measured beside the baseline on real images, becomes one record.

A network that fails is recorded as failed, and the other one is measured to the end.
"""

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from esr.config.cards import card_of_model
from esr.config.schema import EsrConf, ModelConf, network_name
from esr.config.terms import ROLES, Role
from esr.data import datasets
from esr.errors import ConfigError, RecordError
from esr.evaluation import containment, steps
from esr.evaluation.cache_key import cache_key
from esr.evaluation.gallery import Gallery
from esr.evaluation.inputs import Inputs
from esr.evaluation.own_code import code_digest
from esr.evaluation.record import build_document
from esr.evaluation.rounds import Measurement
from esr.evaluation.steps import Evaluation
from esr.evaluation.subject import Subject, alive, answers_at_once
from esr.evaluation.worker.messages import OpenRequest
from esr.evaluation.worker.parent import Worker
from esr.records import files as records
from esr.records.check import check_card, check_image_name, check_name
from esr.records.document import Process
from esr.system import lock
from esr.system.progress import Progress, Silent
from esr.telemetry.watch import Watch, WatchResult
from esr.text import quoted
from esr.zoo import weights as zoo
from esr.zoo.environments import packages_of

HOST = "host"
"""Name of the lock for a measurement on the CPU."""


def evaluate(settings: EsrConf, folder: Path | None = None, progress: Progress | None = None) -> records.Record:
    """Measures `settings.model` against `settings.baseline`.

    Args:
        settings: The composed configuration.
        folder: Receives `record.json`, telemetry and pictures; `None`: nothing is written.
        progress: Shows stages and steps.

    Returns:
        The record; its `failed` names the networks that could not be measured to the end.

    Raises:
        EsrError: The input is at fault (data, weights, device, the network's class); no record was written.
    """
    progress = progress or Silent()
    started = time.time()
    require_recordable(settings)
    if folder:
        records.require_room(folder)
    progress.stage("images", None)
    dataset = datasets.load_dataset(settings.data, settings.quality.border)
    evaluation = Evaluation(
        settings=settings,
        dataset=dataset,
        candidate=_subject("candidate", settings.model, settings.weights, progress),
        baseline=_subject("baseline", settings.baseline, settings.baseline_weights, progress),
        gallery=Gallery(folder, settings.quality.save),
        folder=folder,
        progress=progress,
        inputs=Inputs(dataset.pairs, secrets.randbits(62)),
    )
    with _named("rename the file"):
        for pair in evaluation.dataset.pairs:
            check_image_name(pair.name)
    key = cache_key(settings, [subject.weights for subject in evaluation.subjects])
    measure = _single if settings.timing.protocol == "single" else _paired
    processes, watched = measure(evaluation)
    if folder:
        watched = replace(watched, telemetry=watched.write_trace(folder))
    document = build_document(evaluation, processes, watched, key, started)
    if folder is None:
        return records.Record(records.decode(msgspec.json.encode(document)))
    return records.write_record(document, folder)


def require_recordable(settings: EsrConf) -> None:
    """Refuses, before anything is measured, names that no record may hold.

    Raises:
        ConfigError: A name is not plain text or too long, or a value is not UTF-8.
    """
    with _named("choose another, with model.name=NAME for one"):
        for role, model in zip(ROLES, (settings.model, settings.baseline), strict=True):
            check_card(role, card_of_model(model))
        check_name("data set's name", settings.data.name)
    try:
        msgspec.json.encode(settings)
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"{quoted(str(error.object))}: not UTF-8, which a record has to be; choose another name"
        ) from None


@contextmanager
def _named(remedy: str) -> Iterator[None]:
    try:
        yield
    except RecordError as error:
        raise ConfigError(f"{error}; no record may hold it: {remedy}") from None


def _single(evaluation: Evaluation) -> tuple[Sequence[Process], WatchResult]:
    """The challenge's protocol: one unwarmed pass over the images; memory is its peak."""
    with ExitStack() as guards:
        with _workers(evaluation):
            watch = guards.enter_context(_guarded(evaluation))
            steps.calibrate(evaluation)
            steps.load(evaluation)
            steps.seal(evaluation)
            steps.time_once(evaluation)
            steps.measure_quality(evaluation)
            steps.profile(evaluation)
            for subject in evaluation.subjects:
                subject.end_process()
        _verify(evaluation)
    return [], watch.finish(evaluation.counted)


def _paired(evaluation: Evaluation) -> tuple[Sequence[Process], WatchResult]:
    """Interleaved rounds, repeated in fresh processes; the first also measures memory and quality."""
    processes: list[Process] = []
    with ExitStack() as guards:
        with _workers(evaluation):
            watch = guards.enter_context(_guarded(evaluation))
            steps.calibrate(evaluation)
            steps.load(evaluation)
            steps.measure_memory(evaluation)
            steps.keep_memory(evaluation)
            steps.measure_quality(evaluation)
            processes.append(_rounds(evaluation, watch, processes))
        for _ in range(1, evaluation.settings.timing.processes):
            with _workers(evaluation):
                steps.calibrate(evaluation)
                steps.load(evaluation)
                steps.keep_memory(evaluation)
                processes.append(_rounds(evaluation, watch, processes))
        _verify(evaluation)
    return processes, watch.finish(evaluation.counted)


def _rounds(evaluation: Evaluation, watch: Watch, earlier: Sequence[Process]) -> Process:
    blocks = [block.block for subject in evaluation.subjects for block in subject.blocks]
    shapes = [pair.lr_shape for pair in evaluation.dataset.pairs]
    measurement = Measurement(
        evaluation.subjects, evaluation.settings, shapes, watch, evaluation.progress, evaluation.inputs
    )
    measurement.process = len(earlier)
    measurement.first_round = sum(process.rounds for process in earlier)
    measurement.first_block = max(blocks, default=-1) + 1
    process = measurement.run()
    if len(earlier) + 1 == evaluation.settings.timing.processes:
        steps.profile(evaluation)
    for subject in evaluation.subjects:
        subject.end_process()
    return process


def _verify(evaluation: Evaluation) -> None:
    """In processes that have timed nothing; a network that loads no more has failed, its figures are kept."""
    if not alive(evaluation.subjects):
        return
    with _workers(evaluation):
        steps.calibrate(evaluation)
        steps.load_again(evaluation)
        steps.keep_memory(evaluation)
        steps.verify(evaluation)


def _subject(role: Role, model: ModelConf, weights: str, progress: Progress) -> Subject:
    name = network_name(model)
    progress.stage(f"{name}: weights", None)
    return Subject(role, name, model, zoo.resolve(model, weights, progress=progress.at), code_digest(model))


@contextmanager
def _workers(evaluation: Evaluation) -> Iterator[None]:
    """A fresh process for each network, with its device open."""
    evaluation.progress.stage("starting workers", len(evaluation.subjects))
    with ExitStack() as stack:
        for subject in evaluation.subjects:
            wishes = containment.wishes(evaluation, subject.model)
            subject.worker = stack.enter_context(
                Worker(evaluation.settings.timing.timeout_s, wishes, packages_of(subject.model))
            )
        containment.import_all()
        settings = evaluation.settings
        request = OpenRequest(settings.device, settings.cudnn, settings.timing.cuda_graph)
        for subject, answer in answers_at_once(evaluation.subjects, request):
            # Its own namespace gives it another number than it has here.
            subject.report = subject.report or msgspec.structs.replace(answer.report, pid=subject.worker.pid)
            evaluation.progress.advance()
        yield


@contextmanager
def _guarded(evaluation: Evaluation) -> Iterator[Watch]:
    """The device, locked against other measurements and watched."""
    settings, gpu = evaluation.settings, _gpu(evaluation)
    what = f"model={evaluation.candidate.name}"

    def pids() -> list[int]:
        return [subject.worker.pid for subject in evaluation.subjects]

    guard = lock.measuring(HOST if gpu is None else str(gpu), what, settings.lock, evaluation.progress)
    with guard, Watch(settings.telemetry, gpu, pids) as watch:
        yield watch


def _gpu(evaluation: Evaluation) -> str | int | None:
    """UUID of the GPU in use, its index where torch does not tell the UUID; `None` on the CPU."""
    for subject in evaluation.subjects:
        if subject.report and subject.report.device.kind == "cuda":
            return subject.report.device.uuid or evaluation.settings.device.index
    return None
