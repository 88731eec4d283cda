"""The main job: one network, measured beside the baseline on real images, becomes one record.

`evaluate` reads top to bottom: weights and images, a worker per network, quality, complexity, timing, record.
A network that fails is recorded as failed, and the other one is measured to the end.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from esr import datasets, records, zoo
from esr.config import EsrConf, ModelConf, network_name, typed
from esr.document import build_document
from esr.progress import Progress, Silent
from esr.quality import measure as measure_quality
from esr.subject import Subject
from esr.timing.schedule import plan
from esr.timing.warmup import settled
from esr.worker.parent import Worker, WorkerFailure
from esr.worker.protocol import pack, sample, unpack

WEIGHTS_SEED = 0
"""Seed of `weights=random`."""


def evaluate(
    config: DictConfig, folder: Path | None = None, progress: Progress | None = None
) -> records.Record:
    """Measures `config.model` against `config.baseline`.

    Args:
        config: As from `esr.composition.compose`.
        folder: Where `record.json` is written; none: it is only returned.
        progress: Told what is being done.

    Returns:
        The record; its `failures` name the networks that could not be measured to the end.

    Raises:
        EsrError: The input is at fault (data, weights, device, the network's class); nothing was written.
    """
    settings = typed(EsrConf, config)
    progress = progress or Silent()
    started = time.time()
    progress.stage("images", None)
    dataset = datasets.load_dataset(settings.data, settings.quality.border)
    candidate = _subject("candidate", settings.model, settings.weights, progress)
    baseline = _subject("baseline", settings.baseline, settings.baseline_weights, progress)
    subjects = [candidate, baseline]
    with ExitStack() as stack:
        for subject in subjects:
            subject.worker = stack.enter_context(Worker(settings.timing.timeout_s))
        _open(subjects, config, dataset, progress)
        if settings.timing.protocol == "single":
            _single_pass(subjects, settings, dataset, progress)
        else:
            _memory(subjects, dataset)
        _quality(subjects, settings, dataset, progress)
        _complexity(subjects, settings)
        if settings.timing.protocol == "paired":
            _paired_rounds(subjects, settings, dataset, progress)
    document = build_document(config, settings, dataset, subjects, started, time.time())
    if folder is None:
        records.validate(document)
        return records.Record(document)
    return records.write_record(document, folder)


def _subject(role: str, model: ModelConf, weights: str, progress: Progress) -> Subject:
    name = network_name(model)
    progress.stage(f"{name}: weights", None)
    return Subject(role, name, model, zoo.resolve(model, weights, progress=progress.at))


@contextmanager
def _recorded(subject: Subject) -> Iterator[None]:
    """A failure of the network inside this block becomes part of the record."""
    try:
        yield
    except WorkerFailure as failure:
        subject.failure = failure.as_dict()


def _alive(subjects: Sequence[Subject]) -> list[Subject]:
    return [subject for subject in subjects if subject.failure is None]


def _open(
    subjects: Sequence[Subject], config: DictConfig, dataset: datasets.Dataset, progress: Progress
) -> None:
    progress.stage("starting workers", 2 * len(subjects) + len(dataset.pairs))
    plain = OmegaConf.to_container(config)
    for subject in subjects:
        subject.worker.send("open", config=plain)
    for subject in subjects:
        with _recorded(subject):
            subject.runtime = subject.worker.receive("open")
        progress.advance()
    for subject in _alive(subjects):
        with _recorded(subject):
            subject.worker.ask(
                "load",
                model=OmegaConf.to_container(OmegaConf.structured(subject.model)),
                weights=subject.weights.as_dict(),
                seed=WEIGHTS_SEED,
            )
        progress.advance()
    for pair in dataset.pairs:
        packed = pack(pair.lr())
        for subject in _alive(subjects):
            with _recorded(subject):
                subject.worker.ask("image", image=packed)
        progress.advance()


def _memory(subjects: Sequence[Subject], dataset: datasets.Dataset) -> None:
    """The first forward pass, over the largest image: nothing else has raised the peak before it."""
    areas = [pair.lr_shape[0] * pair.lr_shape[1] for pair in dataset.pairs]
    largest = areas.index(max(areas))
    for subject in _alive(subjects):
        with _recorded(subject):
            subject.memory = subject.worker.ask("memory", index=largest)
            subject.memory["lr_shape"] = list(dataset.pairs[largest].lr_shape)


def _quality(
    subjects: Sequence[Subject], settings: EsrConf, dataset: datasets.Dataset, progress: Progress
) -> None:
    for subject in _alive(subjects):
        progress.stage(f"{subject.name}: quality", len(dataset.pairs))
        with _recorded(subject):
            for index, pair in enumerate(dataset.pairs):
                image = unpack(subject.worker.ask("quality", index=index)["image"])
                subject.samples.append(sample(image, settings.timing.seed + index))
                if dataset.has_hr:
                    subject.quality.append(measure_quality(image, pair.hr(), settings.quality.border))
                progress.advance()
        subject.compare_timed_outputs()


def _complexity(subjects: Sequence[Subject], settings: EsrConf) -> None:
    for subject in _alive(subjects):
        with _recorded(subject):
            subject.complexity = subject.worker.ask(
                "complexity", height=settings.complexity.height, width=settings.complexity.width
            )


def _single_pass(
    subjects: Sequence[Subject], settings: EsrConf, dataset: datasets.Dataset, progress: Progress
) -> None:
    """The challenge's protocol: no warm-up, one pass over the images in order, memory never reset in between."""
    for subject in _alive(subjects):
        progress.stage(f"{subject.name}: one unwarmed pass", len(dataset.pairs))
        with _recorded(subject):
            subject.worker.ask("reset_memory")
            for index in range(len(dataset.pairs)):
                _turn(subject, settings, 0, [index], index, block=index)
                progress.advance()
            subject.memory = subject.worker.ask("peak")


def _paired_rounds(
    subjects: Sequence[Subject], settings: EsrConf, dataset: datasets.Dataset, progress: Progress
) -> None:
    shapes = [pair.lr_shape for pair in dataset.pairs]
    for subject in _alive(subjects):
        progress.stage(f"{subject.name}: warm-up", None)
        with _recorded(subject):
            _warm_up(subject, settings, shapes)
    running = _alive(subjects)
    if not running:
        return
    seconds = [max(subject.warm_ms(shape) for subject in running) / 1000 for shape in shapes]
    timing = settings.timing
    blocks = plan(timing.rounds, len(running), seconds, timing.block_s, timing.seed)
    progress.stage(f"timing, {timing.rounds} rounds", sum(len(block.images) for block in blocks))
    for number, block in enumerate(blocks):
        subject = running[block.network]
        if subject.failure is None:
            with _recorded(subject):
                _turn(subject, settings, block.round, list(block.images), block.check, block=number)
        progress.advance(len(block.images))


def _warm_up(subject: Subject, settings: EsrConf, shapes: Sequence[tuple[int, int]]) -> None:
    conf = settings.timing.warmup
    for shape in dict.fromkeys(shapes):
        index = shapes.index(shape)
        passes: list[float] = []
        while len(passes) < conf.max_passes and not settled(passes, conf):
            answer = subject.worker.ask("time", images=[index], check=None, seed=0)
            passes.append(answer["durations"][0]["device_ms"])
        subject.warmup.append({"lr_shape": list(shape), "ms": passes, "settled": settled(passes, conf)})


def _turn(
    subject: Subject, settings: EsrConf, number: int, images: list[int], check: int, block: int
) -> None:
    """One block of one network; the parent's own clock bounds what the worker may claim."""
    seed = settings.timing.seed + check
    start = time.perf_counter()
    answer = subject.worker.ask("time", images=images, check=check, seed=seed)
    wall_ms = (time.perf_counter() - start) * 1000
    subject.add_block(number, block, images, answer["durations"], wall_ms)
    subject.timed_samples.append((check, unpack(answer["sample"])))
    subject.compare_timed_outputs()
