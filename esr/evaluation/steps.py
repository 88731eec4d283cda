"""Steps of an evaluation besides its rounds; each works on the networks that have not failed."""

from dataclasses import dataclass

import msgspec

from esr.config.schema import EsrConf
from esr.data.datasets import Dataset
from esr.evaluation.gallery import Gallery
from esr.evaluation.subject import Subject, alive, answers, answers_at_once, recorded
from esr.evaluation.turns import time_passes
from esr.evaluation.worker import messages
from esr.evaluation.worker.output_sample import sample
from esr.images import quality
from esr.records.network import Block
from esr.system.progress import Progress
from esr.timing.schedule import Pass

WEIGHTS_SEED = 0
"""Seed of `weights=random`."""


@dataclass
class Evaluation:
    """One evaluation in progress."""

    settings: EsrConf
    dataset: Dataset
    candidate: Subject
    baseline: Subject
    gallery: Gallery
    progress: Progress

    @property
    def subjects(self) -> tuple[Subject, Subject]:
        """Candidate and baseline."""
        return self.candidate, self.baseline

    @property
    def counted(self) -> set[int]:
        """Blocks that were not measured again."""
        return {block.block for subject in self.subjects for block in subject.counted}

    def by_area(self) -> list[int]:
        """Indices of the images, smallest first."""
        areas = [pair.lr_shape[0] * pair.lr_shape[1] for pair in self.dataset.pairs]
        return sorted(range(len(areas)), key=areas.__getitem__)


def load(evaluation: Evaluation) -> None:
    """Loads networks, weights and images into the workers."""
    dataset, progress = evaluation.dataset, evaluation.progress
    progress.stage("loading", len(evaluation.subjects) + len(dataset.pairs))
    for subject in alive(evaluation.subjects):
        request = messages.LoadRequest(subject.model, subject.weights, WEIGHTS_SEED)
        for _, answer in answers([subject], request):
            subject.note_loading(answer.loading)
        progress.advance()
    for pair in dataset.pairs:
        list(answers(evaluation.subjects, messages.ImageRequest(pair.lr())))
        progress.advance()


def measure_memory(evaluation: Evaluation) -> None:
    """Peak memory of the first forward pass, over the largest image: nothing has raised the peak before it."""
    largest = evaluation.by_area()[-1]
    shape = evaluation.dataset.pairs[largest].lr_shape
    for subject, answer in answers(evaluation.subjects, messages.MemoryRequest(largest)):
        subject.memory = msgspec.structs.replace(answer.memory, lr_shape=shape)


def keep_memory(evaluation: Evaluation) -> None:
    """Lets the workers keep freed memory; only after the peak was measured, part of which that would hide."""
    list(answers(evaluation.subjects, messages.KeepMemoryRequest()))


def measure_quality(evaluation: Evaluation) -> None:
    """Upscales every image: PSNR and SSIM where there is HR, samples for comparison, pictures."""
    settings, dataset, progress = evaluation.settings, evaluation.dataset, evaluation.progress
    progress.stage("quality", len(dataset.pairs))
    for index, pair in enumerate(dataset.pairs):
        outputs: dict[str, tuple[str, messages.Pixels]] = {}
        for subject, answer in answers(evaluation.subjects, messages.QualityRequest(index, pair.lr_shape)):
            subject.quality_samples.append(sample(answer.image, settings.timing.seed + index))
            outputs[subject.role] = (subject.name, answer.image)
            if dataset.has_hr:
                subject.quality.append(quality.measure(answer.image, pair.hr(), settings.quality.border))
        evaluation.gallery.add(index, pair, outputs)
        progress.advance()
    for subject in evaluation.subjects:
        subject.check_waiting()


def count(evaluation: Evaluation) -> None:
    """Counts parameters, operations and live memory, in all workers at once: nothing is timed."""
    request = messages.ComplexityRequest(evaluation.settings.complexity.height, evaluation.settings.complexity.width)
    for subject, answer in answers_at_once(evaluation.subjects, request):
        subject.complexity, subject.uncounted = answer.complexity, answer.uncounted
        subject.padded_to = answer.padded_to


def audit(evaluation: Evaluation) -> None:
    """Watches one pass over the smallest image."""
    for subject, answer in answers(evaluation.subjects, messages.AuditRequest(evaluation.by_area()[0])):
        subject.note_audit(answer)


def time_once(evaluation: Evaluation) -> None:
    """One unwarmed pass over the images in order, with the peak memory of all passes together."""
    count_of_images = len(evaluation.dataset.pairs)
    for subject in alive(evaluation.subjects):
        evaluation.progress.stage(f"{subject.name}: one unwarmed pass", count_of_images)
        with recorded(subject):
            subject.worker.ask(messages.ResetMemoryRequest())
            for index in range(count_of_images):
                _time_image(subject, index, evaluation.settings.timing.seed + index)
                evaluation.progress.advance()
            subject.memory = subject.worker.ask(messages.PeakRequest()).memory


def _time_image(subject: Subject, index: int, seed: int) -> None:
    answer, wall_ms = time_passes(subject.worker, [Pass(index)], sampled=0, seed=seed)
    block = Block(block=index, round=0, process=0, parent_wall_ms=wall_ms)
    subject.add_block(block, [Pass(index)], answer.durations)
    if answer.sample is not None:
        subject.check_timed(index, answer.sample)
