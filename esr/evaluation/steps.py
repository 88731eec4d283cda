"""Steps of an evaluation besides its rounds; each works on the networks that have not failed."""

import math
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np

from esr.config.schema import EsrConf, ModelConf
from esr.config.terms import ROLES, Role
from esr.data.datasets import Dataset
from esr.errors import EsrError
from esr.evaluation.crew import Crew
from esr.evaluation.gallery import Gallery
from esr.evaluation.grading import Grading
from esr.evaluation.inputs import Inputs
from esr.evaluation.outside import Outside
from esr.evaluation.passes import Passed, calibrate_harness, run_pass, sampled
from esr.evaluation.reproduction import WHITE, add_image
from esr.evaluation.subject import Subject, alive, answers, recorded
from esr.evaluation.turns import compare_repeated, time_passes
from esr.evaluation.worker import messages
from esr.evaluation.worker.envelope import Pixels
from esr.evaluation.worker.output_sample import positions
from esr.evaluation.worker.parent import WorkerFailure
from esr.records.network import Block, Failure, Memory, Weights
from esr.system.progress import Progress
from esr.text import one_line
from esr.timing.plan import Plan
from esr.timing.schedule import Pass, order_of
from esr.zoo import weights

MOST_ROUNDED = 0.51
"""Grey levels by which a value in an image may differ from the one that it was rounded from."""
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
    inputs: Inputs
    crew: Crew
    """Starts the workers."""
    seed: int
    """Of the order of networks and images."""
    macs_per_s: float = 0.0
    """Most that the device multiplied, in workers that knew no stranger's code; other work can only lower it."""
    plan: Plan = field(init=False)
    """Known once the device is."""
    order: Sequence[Role] = ROLES
    """Which network comes first in whatever the present process does with both."""
    folder: Path | None = None
    """Receives the results."""
    bicubic_psnr: list[float] = field(default_factory=list)
    """dB of bicubic interpolation, RGB, one per image; empty without HR."""

    @property
    def subjects(self) -> tuple[Subject, Subject]:
        """Candidate and baseline."""
        return self.candidate, self.baseline

    @property
    def in_turn(self) -> Sequence[Subject]:
        """Both networks, in the present process's order."""
        return sorted(self.subjects, key=lambda subject: self.order.index(subject.role))

    def ahead(self, process: int) -> AbstractContextManager[None]:
        """Lets the workers of the next process start, while no clock runs.

        Args:
            process: Its number.
        """
        return self.crew.ahead(order_of(self.seed, process))

    @property
    def counted(self) -> set[int]:
        """Blocks that were not measured again."""
        return {block.block for subject in self.subjects for block in subject.counted}

    def by_area(self) -> list[int]:
        """Indices of the images, smallest first."""
        areas = [pair.lr_shape[0] * pair.lr_shape[1] for pair in self.dataset.pairs]
        return sorted(range(len(areas)), key=areas.__getitem__)


def calibrate(evaluation: Evaluation) -> None:
    """Measures the harness beside each worker, before that knows a stranger's code, and how fast the device is."""
    shapes = [pair.lr_shape for pair in evaluation.dataset.pairs]
    evaluation.progress.stage("measuring the harness itself", len(evaluation.subjects))
    observe(evaluation)
    for subject in alive(evaluation.in_turn):
        with recorded(subject):
            subject.cost = calibrate_harness(subject.worker, shapes, subject.outside.processor_seconds)
            rate = 1e9 * (subject.worker.ask(messages.RateRequest()).gmacs_per_s or 0.0)
            evaluation.macs_per_s = max(evaluation.macs_per_s, rate)
        evaluation.progress.advance()


def observe(evaluation: Evaluation) -> None:
    """Learns from the kernel and the driver how each worker is, before it knows a stranger's code."""
    for subject in alive(evaluation.in_turn):
        subject.outside = Outside(subject.worker.pid)
        subject.outside.learn()
        subject.outside.context_mib = subject.outside.device_mib(_uuid(subject))


def load(evaluation: Evaluation, *, again: bool = False) -> None:
    """Loads networks and weights into the workers, into both at once.

    Args:
        evaluation: Its workers without a network.
        again: They have been measured: one that refuses now has failed, its figures are kept.
    """
    progress = evaluation.progress
    progress.stage("loading again" if again else "loading", len(evaluation.subjects))
    requests: list[tuple[Subject, messages.LoadRequest]] = []
    for subject in alive(evaluation.in_turn):
        with _refused(subject, again=again):
            request = load_request(subject.model, subject.weights)
            _count_weights(subject, request)
            subject.worker.send(request)
            requests.append((subject, request))
    for subject, request in requests:
        if subject.failure is None:
            with _refused(subject, again=again):
                answer = subject.worker.receive(request)
                subject.worker.confirm_sandbox()
                subject.training_form = answer.training_form
                subject.registered, subject.own_loading = answer.registered, answer.own_loading
                subject.note_loading(answer.loading)
        progress.advance()


@contextmanager
def _refused(subject: Subject, *, again: bool) -> Iterator[None]:
    try:
        with recorded(subject):
            yield
    except EsrError as error:
        if not again:
            raise
        subject.failure = Failure("load", "exception", one_line(str(error)))


def _count_weights(subject: Subject, request: messages.LoadRequest) -> None:
    """Counts a file's values, in the first process only: the worker does not know the network's code yet."""
    if subject.numbers is None and subject.weights.path is not None and subject.model.repository.root is None:
        question = messages.WeightsRequest(subject.weights, subject.model.checkpoint, request.content)
        subject.numbers = subject.worker.ask(question).numbers


def load_request(model: ModelConf, chosen: Weights) -> messages.LoadRequest:
    """The request with the weights' bytes, so that a worker needs no access to the file; none for a repository.

    Raises:
        WeightsError: The file is not the one that was chosen.
    """
    content = np.frombuffer(b"" if model.repository.root else weights.read(chosen), np.uint8)
    return messages.LoadRequest(model, chosen, WEIGHTS_SEED, content)


def seal(evaluation: Evaluation) -> None:
    """Lets no network start another process any more."""
    for subject in alive(evaluation.subjects):
        subject.seal()


def measure_memory(evaluation: Evaluation) -> None:
    """Peak memory, in the first passes of all.

    On a GPU over one image of each shape, as the challenge prints it for a data set: neither padding nor cuDNN's
    workspaces grow with the area alone. On the CPU over the largest image: only the first pass raises the peak.
    """
    shapes = [pair.lr_shape for pair in evaluation.dataset.pairs]
    every = [shapes.index(shape) for shape in dict.fromkeys(shapes)]
    largest = evaluation.by_area()[-1]
    evaluation.progress.stage("peak memory", len(evaluation.subjects))
    for subject in measured_anew(evaluation):
        with recorded(subject):
            images = every if subject.on_gpu else [largest]
            reset_peak(subject)
            with subject.outside.watching_peak():
                for image in images:
                    run_pass(subject.worker, evaluation.inputs, evaluation.inputs.fresh(image))
            shape = shapes[largest] if len(images) == 1 else None
            subject.memory = msgspec.structs.replace(peak(subject), lr_shape=shape)
        evaluation.progress.advance()


def measured_anew(evaluation: Evaluation) -> list[Subject]:
    """Networks in turn whose untimed results are not known from an earlier evaluation."""
    return [subject for subject in alive(evaluation.in_turn) if subject.untimed_from is None]


def reset_peak(subject: Subject) -> None:
    """Begins a measurement of peak memory."""
    subject.worker.ask(messages.ResetMemoryRequest())
    subject.outside.reset_peak()


def peak(subject: Subject) -> Memory:
    """Peak of resident memory as the kernel shows it; on a GPU as torch reports it, beside the driver's figure."""
    seen = None if subject.on_gpu else subject.outside.peak()
    if seen is not None:
        return seen
    claimed = subject.worker.ask(messages.PeakRequest()).memory
    return msgspec.structs.replace(claimed, device_mib=subject.outside.device_mib(_uuid(subject)))


def _uuid(subject: Subject) -> str | None:
    return subject.report.device.uuid if subject.report else None


def keep_memory(evaluation: Evaluation) -> None:
    """Lets the workers keep freed memory; only after the peak was measured, part of which that would hide."""
    list(answers(evaluation.subjects, messages.KeepMemoryRequest()))


def measure_quality(evaluation: Evaluation) -> None:
    """Upscales every image: PSNR and SSIM where there is HR, pictures."""
    dataset, progress = evaluation.dataset, evaluation.progress
    progress.stage("quality", len(dataset.pairs))
    with Grading(dataset.pairs, evaluation.settings.quality.border, evaluation.bicubic_psnr) as grading:
        for index, pair in enumerate(dataset.pairs):
            outputs: dict[str, tuple[str, Pixels]] = {}
            hr = grading.hr(index)
            if hr is not None:
                evaluation.inputs.hold_hr(index, hr)
            for subject in measured_anew(evaluation):
                with recorded(subject):
                    sr = _upscale(evaluation, subject, index)
                    outputs[subject.role] = (subject.name, sr)
                    add_image(subject.on_images, evaluation.inputs, index, sr)
                    if hr is not None:
                        grading.grade(subject, sr, hr)
            if hr is not None and outputs:
                grading.compare_bicubic(evaluation.inputs.lr(Pass(index)), hr)
            evaluation.gallery.add(index, pair, hr, outputs)
            progress.advance()
    for subject in evaluation.subjects:
        subject.below_bicubic = _below_bicubic(subject, evaluation.bicubic_psnr)


def _below_bicubic(subject: Subject, bicubic: Sequence[float]) -> str | None:
    """A network's PSNR beside that of bicubic interpolation, if it is lower, and nobody knows why."""
    known = [image.psnr_rgb for image in subject.quality if image.psnr_rgb is not None]
    if subject.weights.source == "random" or not bicubic or len(known) < len(bicubic):
        return None
    own, reference = sum(known) / len(known), sum(bicubic) / len(bicubic)
    return f"{own:.2f} dB, bicubic {reference:.2f} dB" if own < reference < math.inf else None


def _upscale(evaluation: Evaluation, subject: Subject, image: int) -> Pixels:
    """SR of an unaltered image; a pass that was timed over it is compared with this one."""
    timed = next((each for each in subject.unrepeated if each.one == Pass(image)), None)
    repeated = run_pass(subject.worker, evaluation.inputs, Pass(image), timed)
    sr = subject.worker.ask(messages.QualityRequest(evaluation.dataset.pairs[image].lr_shape)).image
    # At places drawn only now: an image could have been made to agree with values that were asked for before.
    shown = sampled(subject.worker, replace(repeated, sample_seed=secrets.randbelow(10**18)))
    _require_same(sr, shown)
    if timed is not None:
        subject.unrepeated.remove(timed)
        compare_repeated(subject, evaluation.inputs, timed, repeated)
    subject.shown.offer(shown)
    return sr


def _require_same(sr: Pixels, passed: Passed) -> None:
    """Refuses an image that is not the output of its pass, whose values were sampled on the clock.

    Raises:
        WorkerFailure: It is another one.
    """
    shown = sr.reshape(-1)[positions(sr.size, passed.sample_seed)]
    apart = float(np.abs(passed.values.clip(0, WHITE) - shown).max(initial=0))
    if apart > MOST_ROUNDED:
        message = f"the image is not the output of its pass: up to {apart:.3g} grey levels apart"
        raise WorkerFailure("quality", "bad_output", message)


def profile(evaluation: Evaluation) -> None:
    """Kernels of one pass over the largest image, each network's last request: no profiler may disturb a timing."""
    lr = evaluation.inputs.lr(Pass(evaluation.by_area()[-1]))
    for subject in alive(evaluation.subjects):
        if subject.on_gpu:
            with suppress(WorkerFailure):  # what was measured stays measured
                subject.kernels = subject.worker.ask(messages.KernelsRequest(lr, 0)).kernels


def time_once(evaluation: Evaluation) -> None:
    """One unwarmed pass over the images in order, with the peak memory of all passes together."""
    count_of_images = len(evaluation.dataset.pairs)
    shapes = [pair.lr_shape for pair in evaluation.dataset.pairs]
    for subject in alive(evaluation.subjects):
        evaluation.progress.stage(f"{subject.name}: one unwarmed pass", count_of_images)
        with recorded(subject):
            reset_peak(subject)
            until = time.monotonic() + evaluation.plan.max_seconds
            for index in range(count_of_images):
                if time.monotonic() > until:
                    limit = f"{evaluation.plan.max_seconds:g} s (timing.max_seconds)"
                    raise WorkerFailure("pass", "timeout", f"{index} of {count_of_images} images within {limit}")
                passed = time_passes(subject, evaluation.inputs, [Pass(index)])
                block = Block(block=index, round=0, process=0, parent_wall_ms=passed[0].parent_ms)
                subject.add_block(block, passed, shapes)
                subject.unrepeated += passed
                evaluation.progress.advance()
            subject.memory = peak(subject)
