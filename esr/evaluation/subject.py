"""One network in an evaluation: its configuration, its worker, and its results as they come in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np

from esr.config.schema import ModelConf
from esr.config.terms import Role
from esr.evaluation.worker.messages import AnswerT, AuditAnswer, Pixels, Request
from esr.evaluation.worker.parent import Worker, WorkerFailure
from esr.records import network
from esr.timing.samples import Duration, SampleColumns
from esr.timing.schedule import Pass
from esr.timing.statistics import Array, matrix
from esr.zoo import repository

OUTPUT_TOLERANCE = 1
"""Grey levels by which a timed output may differ from an untimed one: cuDNN's algorithms round differently."""
_LARGEST = 255
"""Difference, in grey levels, of samples that cannot be compared."""
_TEXTURED = 5.0
"""Standard deviation of an output, in grey levels, above which another input must give another output."""


@dataclass
class Subject:
    """A candidate or a baseline."""

    role: Role
    name: str
    model: ModelConf
    weights: network.Weights
    worker: Worker = field(init=False)
    failure: network.Failure | None = None
    report: network.WorkerReport | None = None
    """Of the first worker."""
    memory: network.Memory | None = None
    complexity: network.Complexity | None = None
    uncaptured: str | None = None
    """Reason why its passes were not replayed from a CUDA graph although the configuration asks for it."""
    uncounted: str | None = None
    """Reason for a missing `complexity` although the network ran on the images."""
    quality: list[network.Quality] = field(default_factory=list)
    """One per image; empty without HR."""
    quality_samples: list[Pixels] = field(default_factory=list)
    """A sample of each SR image of the quality pass."""
    waiting: list[tuple[int, Pixels]] = field(default_factory=list)
    """Image and sample of each checked pass that was timed before the quality pass."""
    warmup: list[network.WarmUp] = field(default_factory=list)
    samples: SampleColumns = field(default_factory=SampleColumns)
    blocks: list[network.Block] = field(default_factory=list)
    output_check: network.OutputCheck = field(default_factory=lambda: network.OutputCheck(tolerance=OUTPUT_TOLERANCE))
    precisions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Floating-point type other than float32 -> operators that returned it."""
    loading: network.Loading | None = None
    padded_to: int | None = None
    """Multiple to which its inputs are padded."""
    switches_changed: dict[str, network.SettingValue] = field(default_factory=dict)
    """Settings that the network changed -> their new values."""

    @property
    def counted(self) -> list[network.Block]:
        """Blocks that were not measured again."""
        return [block for block in self.blocks if not block.replaced]

    def add_block(self, block: network.Block, passes: Sequence[Pass], durations: Sequence[Duration]) -> None:
        """Adds one block and its timed passes."""
        self.blocks.append(block)
        for one, duration in zip(passes, durations, strict=True):
            self.samples.add(block.round, block.block, one, duration)

    def replace_last_block(self) -> None:
        """Marks the last block as one that is measured again."""
        self.blocks[-1] = msgspec.structs.replace(self.blocks[-1], replaced=True)

    def table(self, rounds: int, images: int) -> Array:
        """Milliseconds of the passes that count, rounds × images."""
        return matrix(self.samples, rounds, images, {block.block for block in self.blocks if block.replaced})

    def warm_ms(self, shape: network.Shape) -> float:
        """Milliseconds of the last warm-up pass over an LR shape."""
        return next(entry.ms[-1] for entry in reversed(self.warmup) if entry.lr_shape == shape)

    def check_timed(self, image: int, timed: Pixels) -> None:
        """Compares a timed pass's sample with the quality pass's, now or once that exists."""
        if image < len(self.quality_samples):
            self.compare(timed, self.quality_samples[image])
        else:
            self.waiting.append((image, timed))

    def check_waiting(self) -> None:
        """Compares the passes timed before the quality pass; those over images it did not reach are dropped."""
        for image, timed in self.waiting:
            if image < len(self.quality_samples):
                self.compare(timed, self.quality_samples[image])
        self.waiting.clear()

    def compare(self, timed: Pixels, untimed: Pixels, original: Pixels | None = None) -> None:
        """Compares samples of a timed and an untimed pass over the same input.

        Args:
            timed: Of the timed pass.
            untimed: Of the untimed pass.
            original: Over the image as it was, for an altered input: the output must differ from it.
        """
        check, difference = self.output_check, _difference(timed, untimed)
        stale = (
            original is not None
            and float(original.std()) > _TEXTURED
            and _difference(timed, original) <= OUTPUT_TOLERANCE
        )
        self.output_check = network.OutputCheck(
            tolerance=check.tolerance,
            compared=check.compared + 1,
            differing=check.differing + (difference > OUTPUT_TOLERANCE),
            stale=check.stale + stale,
            largest_difference=max(check.largest_difference, difference),
        )

    def note_audit(self, found: AuditAnswer) -> None:
        """Adds the findings of a watched pass."""
        self.precisions |= found.precisions
        self.switches_changed |= found.switches

    def note_loading(self, found: network.Loading) -> None:
        """Keeps what the first worker reports about loading, with a repository's state and digests."""
        if self.loading is None:
            conf = self.model.repository
            self.loading = repository.provenance(conf, found) if conf.root else found
            self.model = replace(self.model, data_range=found.data_range)


def _difference(one: Pixels, other: Pixels) -> int:
    if one.shape != other.shape:
        return _LARGEST
    return int(np.abs(one.astype(int) - other.astype(int)).max(initial=0))


@contextmanager
def recorded(subject: Subject) -> Iterator[None]:
    """Turns a failure of the network inside the block into a part of the record."""
    try:
        yield
    except WorkerFailure as error:
        subject.failure = error.failure


def alive(subjects: Sequence[Subject]) -> list[Subject]:
    """Subjects that have not failed."""
    return [subject for subject in subjects if subject.failure is None]


def answers(subjects: Sequence[Subject], request: Request[AnswerT]) -> Iterator[tuple[Subject, AnswerT]]:
    """Asks the networks that have not failed, one after the other, and yields those that answer."""
    for subject in alive(subjects):
        with recorded(subject):
            yield subject, subject.worker.ask(request)


def answers_at_once(subjects: Sequence[Subject], request: Request[AnswerT]) -> Iterator[tuple[Subject, AnswerT]]:
    """Asks all networks that have not failed before it waits for the first answer."""
    for subject in alive(subjects):
        with recorded(subject):
            subject.worker.send(request)
    for subject in alive(subjects):
        with recorded(subject):
            yield subject, subject.worker.receive(request)
