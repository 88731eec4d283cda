"""The main job: one network, measured beside the baseline on real images, becomes one record.

`evaluate` reads top to bottom: weights and images, a worker per network, quality, complexity, timing, record.
A network that fails is recorded as failed, and the other one is measured to the end.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from esr.config.schema import EsrConf, ModelConf, network_name, typed
from esr.data import datasets
from esr.evaluation.cache_key import identity
from esr.evaluation.gallery import Gallery
from esr.evaluation.record import Measured, build_document
from esr.evaluation.rounds import Measurement, alive, recorded
from esr.evaluation.subject import Subject
from esr.evaluation.worker.parent import Worker
from esr.evaluation.worker.protocol import pack, sample, unpack
from esr.images.quality import measure as measure_quality
from esr.records import files as records
from esr.system import lock
from esr.system.progress import Progress, Silent
from esr.telemetry.watch import Telemetry
from esr.timing.schedule import Pass
from esr.zoo import weights as zoo

WEIGHTS_SEED = 0
"""Seed of `weights=random`."""
HOST = "host"
"""What is locked for a measurement on the CPU."""


def evaluate(
    config: DictConfig, folder: Path | None = None, progress: Progress | None = None
) -> records.Record:
    """Measures `config.model` against `config.baseline`.

    Args:
        config: As from `esr.config.compose.compose`.
        folder: Where `record.json` is written, with telemetry and pictures beside it; none: it is only returned.
        progress: Told what is being done.

    Returns:
        The record; its `failures` name the networks that could not be measured to the end.

    Raises:
        EsrError: The input is at fault (data, weights, device, the network's class); nothing was written.
    """
    settings = typed(EsrConf, config)
    progress = progress or Silent()
    started = time.time()
    if folder:
        records.require_room(folder)
    progress.stage("images", None)
    dataset = datasets.load_dataset(settings.data, settings.quality.border)
    candidate = _subject("candidate", settings.model, settings.weights, progress)
    baseline = _subject("baseline", settings.baseline, settings.baseline_weights, progress)
    subjects = [candidate, baseline]
    same = identity(settings, [subject.weights for subject in subjects])
    gallery = Gallery(folder, settings.quality.save)
    processes: list[dict[str, Any]] = []
    with ExitStack() as held:
        for process in range(settings.timing.processes):
            with _workers(subjects, settings, config, progress):
                if process == 0:
                    held.enter_context(_device_lock(subjects, settings, progress))
                    watch = held.enter_context(_watch(subjects, settings))
                _load(subjects, dataset, progress)
                if process == 0 and settings.timing.protocol == "single":
                    _single_pass(subjects, settings, dataset, progress)
                elif process == 0:
                    _memory(subjects, dataset)
                if settings.timing.protocol == "paired":
                    _keep_memory(subjects)
                if process == 0:
                    _quality(subjects, settings, dataset, gallery, progress)
                    _complexity(subjects, settings)
                _audit(subjects, dataset)
                if settings.timing.protocol == "paired":
                    processes.append(_paired_rounds(subjects, settings, dataset, watch, progress, processes))
                    _audit(subjects, dataset)
    telemetry = watch.finish(_counted(subjects))
    trace = telemetry.write_trace(folder) if folder else None
    measured = Measured(subjects, dataset, processes, telemetry, trace, gallery, same)
    document = build_document(config, settings, measured, started, time.time())
    if folder is None:
        return records.Record(document)
    return records.write_record(document, folder)


def _subject(role: str, model: ModelConf, weights: str, progress: Progress) -> Subject:
    name = network_name(model)
    progress.stage(f"{name}: weights", None)
    return Subject(role, name, model, zoo.resolve(model, weights, progress=progress.at))


@contextmanager
def _workers(
    subjects: Sequence[Subject], settings: EsrConf, config: DictConfig, progress: Progress
) -> Iterator[None]:
    """A fresh process for each network, with its device open."""
    progress.stage("starting workers", len(subjects))
    plain = OmegaConf.to_container(config)
    with ExitStack() as stack:
        for subject in subjects:
            subject.worker = stack.enter_context(Worker(settings.timing.timeout_s))
        for subject in alive(subjects):
            subject.worker.send("open", config=plain)
        for subject in alive(subjects):
            with recorded(subject):
                runtime = subject.worker.receive("open")
                subject.runtime = subject.runtime or runtime
            progress.advance()
        yield


def _device_lock(
    subjects: Sequence[Subject], settings: EsrConf, progress: Progress
) -> AbstractContextManager[None]:
    gpu = _gpu(subjects, settings)
    return lock.measuring(
        HOST if gpu is None else str(gpu), f"model={subjects[0].name}", settings.lock, progress
    )


def _gpu(subjects: Sequence[Subject], settings: EsrConf) -> str | int | None:
    """The UUID of the GPU in use, its index where torch does not tell the UUID; none on the CPU."""
    for subject in subjects:
        device = subject.runtime.get("device") or {}
        if device.get("kind") == "cuda":
            return device.get("uuid") or settings.device.index
    return None


def _watch(subjects: Sequence[Subject], settings: EsrConf) -> Telemetry:
    return Telemetry(
        settings.telemetry, _gpu(subjects, settings), lambda: [subject.worker.pid for subject in subjects]
    )


def _load(subjects: Sequence[Subject], dataset: datasets.Dataset, progress: Progress) -> None:
    progress.stage("loading", len(subjects) + len(dataset.pairs))
    for subject in alive(subjects):
        with recorded(subject):
            subject.worker.ask(
                "load",
                model=OmegaConf.to_container(OmegaConf.structured(subject.model)),
                weights=subject.weights.as_dict(),
                seed=WEIGHTS_SEED,
            )
        progress.advance()
    for pair in dataset.pairs:
        packed = pack(pair.lr())
        for subject in alive(subjects):
            with recorded(subject):
                subject.worker.ask("image", image=packed)
        progress.advance()


def _memory(subjects: Sequence[Subject], dataset: datasets.Dataset) -> None:
    """The first forward pass, over the largest image: nothing else has raised the peak before it."""
    largest = _by_area(dataset)[-1]
    for subject in alive(subjects):
        with recorded(subject):
            subject.memory = subject.worker.ask("memory", index=largest)
            subject.memory["lr_shape"] = list(dataset.pairs[largest].lr_shape)


def _keep_memory(subjects: Sequence[Subject]) -> None:
    """After the peak was taken: what the allocator keeps would hide a part of it."""
    for subject in alive(subjects):
        with recorded(subject):
            subject.worker.ask("keep_memory")


def _by_area(dataset: datasets.Dataset) -> list[int]:
    """The images, the smallest first."""
    areas = [pair.lr_shape[0] * pair.lr_shape[1] for pair in dataset.pairs]
    return sorted(range(len(areas)), key=areas.__getitem__)


def _quality(
    subjects: Sequence[Subject],
    settings: EsrConf,
    dataset: datasets.Dataset,
    gallery: Gallery,
    progress: Progress,
) -> None:
    progress.stage("quality", len(dataset.pairs))
    for index, pair in enumerate(dataset.pairs):
        outputs = {}
        for subject in alive(subjects):
            with recorded(subject):
                image = unpack(subject.worker.ask("quality", index=index)["image"])
                subject.samples.append(sample(image, settings.timing.seed + index))
                outputs[subject.role] = (subject.name, image)
                if dataset.has_hr:
                    subject.quality.append(measure_quality(image, pair.hr(), settings.quality.border))
        gallery.add(index, pair, outputs)
        progress.advance()
    for subject in subjects:
        subject.check_waiting()


def _complexity(subjects: Sequence[Subject], settings: EsrConf) -> None:
    """All workers at once: nothing is timed."""
    for subject in alive(subjects):
        with recorded(subject):
            subject.worker.send(
                "complexity", height=settings.complexity.height, width=settings.complexity.width
            )
    for subject in alive(subjects):
        with recorded(subject):
            subject.complexity = subject.worker.receive("complexity")


def _audit(subjects: Sequence[Subject], dataset: datasets.Dataset) -> None:
    """Before the rounds and after them, as every untimed pass in between: a network may change its mind."""
    for subject in alive(subjects):
        with recorded(subject):
            subject.note_audit(subject.worker.ask("audit", index=_by_area(dataset)[0]))


def _single_pass(
    subjects: Sequence[Subject], settings: EsrConf, dataset: datasets.Dataset, progress: Progress
) -> None:
    """The challenge's protocol: no warm-up, one pass over the images in order, memory never reset in between."""
    for subject in alive(subjects):
        progress.stage(f"{subject.name}: one unwarmed pass", len(dataset.pairs))
        with recorded(subject):
            subject.worker.ask("reset_memory")
            for index in range(len(dataset.pairs)):
                _single_turn(subject, settings, index)
                progress.advance()
            subject.memory = subject.worker.ask("peak")


def _single_turn(subject: Subject, settings: EsrConf, index: int) -> None:
    subject.worker.ask("prepare", passes=[{"image": index, "alteration": None}])
    start = time.perf_counter()
    answer = subject.worker.ask("time", check=0, seed=settings.timing.seed + index)
    wall_ms = (time.perf_counter() - start) * 1000
    block = {"block": index, "round": 0, "process": 0, "parent_wall_ms": wall_ms}
    subject.add_block({**block, "reasons": [], "replaced": False}, [Pass(index)], answer["durations"])
    subject.check_timed(index, unpack(answer["sample"]))


def _paired_rounds(
    subjects: Sequence[Subject],
    settings: EsrConf,
    dataset: datasets.Dataset,
    watch: Telemetry,
    progress: Progress,
    earlier: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    blocks = [entry["block"] for subject in subjects for entry in subject.blocks]
    return Measurement(
        subjects,
        settings,
        [pair.lr_shape for pair in dataset.pairs],
        watch,
        progress,
        process=len(earlier),
        first_round=sum(entry["rounds"] for entry in earlier),
        first_block=max(blocks, default=-1) + 1,
    ).run()


def _counted(subjects: Sequence[Subject]) -> set[int]:
    """The blocks that were not measured again."""
    return {entry["block"] for subject in subjects for entry in subject.blocks if not entry["replaced"]}
