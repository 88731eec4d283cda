"""The main job: one network, measured beside the baseline on real images, becomes one record.

A network that fails is recorded as failed, and the other one is measured to the end.
"""

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import compress
from pathlib import Path

import msgspec

from esr.config.cards import card_of_model
from esr.config.schema import EsrConf, ModelConf, network_name
from esr.config.terms import ROLES, Role
from esr.data import datasets
from esr.data.layouts import Found
from esr.errors import ConfigError, RecordError
from esr.evaluation import containment, steps, untimed
from esr.evaluation.cache_key import cache_key
from esr.evaluation.crew import Crew, Start
from esr.evaluation.gallery import Gallery
from esr.evaluation.inputs import Inputs
from esr.evaluation.record import build_document
from esr.evaluation.recording import Judge
from esr.evaluation.rounds import Measurement
from esr.evaluation.steps import Evaluation
from esr.evaluation.subject import Subject, alive, answers_at_once
from esr.evaluation.verification import verify
from esr.evaluation.worker.messages import OpenRequest, kernels_for
from esr.records import files as records
from esr.records.check import check_card, check_image_name, check_name
from esr.records.document import Process
from esr.system import lock
from esr.system.progress import Progress, Silent
from esr.telemetry.watch import Watch, WatchResult
from esr.text import quoted
from esr.timing.plan import decide
from esr.timing.schedule import order_of
from esr.timing.statistics import complete_rounds
from esr.timing.stopping import agreed
from esr.zoo import weights as zoo
from esr.zoo.environments import packages_of
from esr.zoo.own_code import code_digest

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
    models: Mapping[Role, ModelConf] = {"candidate": settings.model, "baseline": settings.baseline}
    progress.stage("starting workers", None)
    found = datasets.find_images(settings.data)
    starts = {
        role: Start(settings.timing.timeout_s, containment.wishes(settings, folder, model, found), packages_of(model))
        for role, model in models.items()
    }
    seed = secrets.randbelow(2**32) if settings.timing.seed is None else settings.timing.seed
    with Crew(starts) as crew:
        crew.start(order_of(seed, 0))  # torch is imported while this process reads images and weights
        return _evaluate(settings, folder, progress, crew, seed, started, found)


def _evaluate(
    settings: EsrConf,
    folder: Path | None,
    progress: Progress,
    crew: Crew,
    seed: int,
    started: float,
    found: Found,
) -> records.Record:
    progress.stage("images", None)
    dataset = datasets.load_dataset(settings.data, settings.quality.border, found)
    evaluation = Evaluation(
        settings=settings,
        dataset=dataset,
        candidate=_subject("candidate", settings.model, settings.weights, progress),
        baseline=_subject("baseline", settings.baseline, settings.baseline_weights, progress),
        gallery=Gallery(folder, settings.quality.save),
        folder=folder,
        progress=progress,
        inputs=Inputs(dataset.pairs, secrets.randbits(62)),
        crew=crew,
        seed=seed,
    )
    with _named("rename the file"):
        for pair in evaluation.dataset.pairs:
            check_image_name(pair.name)
    subjects = evaluation.subjects
    key = cache_key(settings, [one.weights for one in subjects], [one.code_sha256 for one in subjects], found)
    measure = _single if settings.timing.protocol == "single" else _paired
    processes, watched = measure(evaluation)
    if folder:
        watched = replace(watched, telemetry=watched.write_trace(folder))
    document = build_document(evaluation, processes, watched, key, started)
    untimed.keep(evaluation, document.id)
    if folder is None:
        return records.Record(records.decode(msgspec.json.encode(document)))
    return records.write_record(document, folder)


def require_recordable(settings: EsrConf) -> None:
    """Refuses, before anything is measured, names that no record may hold.

    Raises:
        ConfigError: A name is not plain text or too long, or a value is not UTF-8.
    """
    with _named("choose another, with model.name=NAME for one"):
        cards = [card_of_model(model) for model in (settings.model, settings.baseline)]
        for role, card in zip(ROLES, cards, strict=True):
            check_card(role, card)
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
        with _workers(evaluation, 0):
            watch = guards.enter_context(_guarded(evaluation))
            steps.calibrate(evaluation)
            with evaluation.ahead(1):
                steps.load(evaluation)
                untimed.reuse(evaluation)
            steps.seal(evaluation)
            steps.time_once(evaluation)
            with evaluation.ahead(1):
                steps.measure_quality(evaluation)
            steps.profile(evaluation)
            for subject in evaluation.subjects:
                subject.end_process()
        _verify(evaluation, 1)
    return [], watch.finish(evaluation.counted)


def _paired(evaluation: Evaluation) -> tuple[Sequence[Process], WatchResult]:
    """Interleaved rounds, repeated in fresh processes; the first also measures memory and quality."""
    processes: list[Process] = []
    with ExitStack() as guards:
        ended = False
        while not ended:
            number = len(processes)
            with _workers(evaluation, number):
                if number == 0:
                    watch = guards.enter_context(_guarded(evaluation))
                steps.calibrate(evaluation)
                with evaluation.ahead(number + 1):
                    steps.load(evaluation)
                    if number == 0:
                        untimed.reuse(evaluation)
                        steps.measure_memory(evaluation)
                    steps.keep_memory(evaluation)
                    if number == 0:
                        steps.measure_quality(evaluation)
                processes.append(_rounds(evaluation, watch, processes))
                ended = _enough(evaluation, processes)
                if ended:
                    steps.profile(evaluation)
                for subject in evaluation.subjects:
                    subject.end_process()
        _verify(evaluation, len(processes))
    return processes, watch.finish(evaluation.counted)


def _rounds(evaluation: Evaluation, watch: Watch, earlier: Sequence[Process]) -> Process:
    blocks = [block.block for subject in evaluation.subjects for block in subject.blocks]
    measurement = Measurement(
        evaluation.in_turn,
        evaluation.settings,
        [pair.lr_shape for pair in evaluation.dataset.pairs],
        watch,
        evaluation.progress,
        evaluation.inputs,
        evaluation.plan,
        evaluation.plan.share(len(earlier), sum(process.seconds for process in earlier)),
    )
    measurement.process = len(earlier)
    measurement.first_round = sum(process.rounds for process in earlier)
    measurement.first_block = max(blocks, default=-1) + 1
    return measurement.run()


def _enough(evaluation: Evaluation, processes: Sequence[Process]) -> bool:
    """True if no further process is needed, or possible."""
    plan = evaluation.plan
    if len(processes) >= plan.processes or not alive(evaluation.subjects):
        return True
    owners = [number for number, process in enumerate(processes) for _ in range(process.rounds)]
    tables = [subject.table(len(owners), len(evaluation.dataset.pairs)) for subject in evaluation.subjects]
    whole = complete_rounds(*tables)
    candidate, baseline = (table[whole] for table in tables)
    return agreed(candidate, baseline, list(compress(owners, whole)), plan)


def _verify(evaluation: Evaluation, number: int) -> None:
    """In processes that have timed nothing; a network that loads no more has failed, its figures are kept."""
    if not alive(evaluation.subjects):
        return
    with Judge(evaluation.crew, evaluation.settings) as judge, _workers(evaluation, number):
        steps.observe(evaluation)
        steps.load(evaluation, again=True)
        verify(evaluation, judge)


def _subject(role: Role, model: ModelConf, weights: str, progress: Progress) -> Subject:
    name = network_name(model)
    progress.stage(f"{name}: weights", None)
    return Subject(role, name, model, zoo.resolve(model, weights, progress=progress.at), code_digest(model))


@contextmanager
def _workers(evaluation: Evaluation, number: int) -> Iterator[None]:
    """A fresh process for each network, with its device open.

    Args:
        evaluation: Its earlier workers ended.
        number: Of the process.
    """
    evaluation.progress.stage("starting workers", len(evaluation.subjects))
    evaluation.order = order_of(evaluation.seed, number)
    with ExitStack() as stack:
        pair = evaluation.crew.take(evaluation.order)
        for subject in evaluation.in_turn:
            subject.worker = stack.enter_context(pair[subject.role])
        containment.import_all()
        settings = evaluation.settings
        shapes = len({pair.lr_shape for pair in evaluation.dataset.pairs})
        request = OpenRequest(settings.device, settings.cudnn, settings.timing.cuda_graph, kernels_for(shapes))
        for subject, answer in answers_at_once(evaluation.in_turn, request):
            # Its own namespace gives it another number than it has here.
            subject.report = subject.report or msgspec.structs.replace(answer.report, pid=subject.worker.pid)
            evaluation.progress.advance()
        on_gpu = any(subject.on_gpu for subject in evaluation.subjects)
        evaluation.plan = decide(settings.timing, on_gpu=on_gpu, seed=evaluation.seed)
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
