"""One network in an evaluation: its configuration, its worker, and its results as they come in."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import median

import msgspec
import numpy as np

from esr.config.schema import ModelConf
from esr.config.terms import Count, Role
from esr.evaluation.outside import Outside
from esr.evaluation.passes import HarnessCost, Passed
from esr.evaluation.reproduction import Likeness, Reservoir, difference, tolerance
from esr.evaluation.worker.messages import AnswerT, InspectAnswer, KeepMemoryRequest, Request
from esr.evaluation.worker.parent import Worker, WorkerFailure
from esr.records import network
from esr.timing.honesty import Clocks
from esr.timing.samples import SampleColumns
from esr.timing.statistics import Array, matrix
from esr.zoo import repository

_FASTER_THAN_PRODUCTS = 5.0
"""Factor by which a convolution may beat a product of matrices: Winograd's transforms multiply down to a quarter as
often (Lavin and Gray, CVPR 2016), and the product itself may not have been at its best."""
_BY_CHANCE = 6.0
"""Largest difference of a timed pass from its repetition, over that of two repetitions, if all are random. The median
over the passes that differ decides: one repetition that is random on purpose excuses nothing."""


class WatchedImage(msgspec.Struct, frozen=True):
    """A watched pass over an image as it is."""

    found: InspectAnswer
    counted_macs: Count | None
    """Counted without values, for its size."""


@dataclass
class Subject:
    """A candidate or a baseline."""

    role: Role
    name: str
    model: ModelConf
    weights: network.Weights
    code_sha256: str | None = None
    """Of its source files when the evaluation began."""
    worker: Worker = field(init=False)
    failure: network.Failure | None = None
    report: network.WorkerReport | None = None
    """Of the first worker."""
    memory: network.Memory | None = None
    later_memory: network.Memory | None = None
    """Of a pass in another process, neither the first nor one in which processes can be started."""
    replaced: set[str] = field(default_factory=set)
    """Functions that measure, and that it has replaced in its own process."""
    complexity: network.Complexity | None = None
    kernels: tuple[network.Kernel, ...] | None = None
    """Of one profiled pass."""
    uncaptured: str | None = None
    """Reason why its passes were not replayed from a CUDA graph although the configuration asks for it."""
    uncounted: str | None = None
    """Reason for a missing `complexity` although the network ran on the images."""
    untimed_from: str | None = None
    """Evaluation from which quality, counts, memory and audit are taken; `None`: they are measured here."""
    quality: list[network.Quality] = field(default_factory=list)
    """One per image; empty without HR."""
    warmup: list[network.WarmUp] = field(default_factory=list)
    samples: SampleColumns = field(default_factory=SampleColumns)
    own_ms: list[float] = field(default_factory=list)
    """Of each timed pass, the harness's own time beside the worker that ran it."""
    blocks: list[network.Block] = field(default_factory=list)
    cost: HarnessCost = field(default_factory=lambda: HarnessCost((1,), (0.0,)))
    """The harness's own time beside the present worker."""
    outside: Outside = field(default_factory=lambda: Outside(0))
    """The present worker as the kernel shows it."""
    reservoir: Reservoir = field(default_factory=Reservoir)
    """Timed passes of the present process, to be repeated in another one."""
    unrepeated: list[Passed] = field(default_factory=list)
    """Timed passes of an earlier process, not yet repeated."""
    on_images: Likeness = field(default_factory=Likeness)
    """Of the images that quality was measured on."""
    on_timed: Likeness = field(default_factory=Likeness)
    """Of timed passes."""
    output_check: network.OutputCheck = field(default_factory=lambda: network.OutputCheck(tolerance=0))
    computed_s: float = 0.0
    """Processor time of the workers during turns."""
    harness_computed_ms: float = 0.0
    """Most processor time of the harness in all timed passes."""
    load: float = 0.0
    """Largest share of the machine that others took during the turns of a process."""
    repeats: list[tuple[float, float, float]] = field(default_factory=list)
    """Of each repeated pass: difference, difference by chance, and tolerance, in grey levels."""
    unproven: str | None = None
    """Reason why recorded operators are not known to be what computes."""
    inspected: InspectAnswer | None = None
    tiles: int = 1
    """Of the watched pass's input, each a pass of the network."""
    extrapolated: network.Complexity | None = None
    """Counts for an input of the watched pass's size, or of one of its tiles, from a copy without values."""
    shown: Reservoir = field(default_factory=Reservoir)
    """Passes whose outputs quality was measured on, to be repeated in the last process."""
    watched_image: WatchedImage | None = None
    precisions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Type other than float32 -> operators that computed in it."""
    loading: network.Loading | None = None
    padded_to: int | None = None
    """Multiple to which its inputs are padded."""
    switches_changed: dict[str, network.SettingValue] = field(default_factory=dict)
    """Settings that the network changed -> their new values."""
    changes_input: bool = False
    """A pass wrote to its own input."""
    numbers: int | None = None
    """Values in the weights file, counted before the network's code was there; `None` where no file was read so."""
    registered: int = 0
    """Values of its parameters and buffers, as loaded."""
    own_loading: bool = False
    """Its own code takes part in loading, and may fuse blocks there."""
    training_form: str | None = None
    """Blocks that could be fused for inference, and are not."""
    below_bicubic: str | None = None
    """Its PSNR beside that of bicubic interpolation, where it is lower."""

    @property
    def counted(self) -> list[network.Block]:
        """Blocks that were not measured again."""
        return [block for block in self.blocks if not block.replaced]

    @property
    def on_gpu(self) -> bool:
        """True if its device is a GPU."""
        return self.report is not None and self.report.device.kind == "cuda"

    def add_block(self, block: network.Block, passed: Sequence[Passed], shapes: Sequence[network.Shape]) -> None:
        """Adds one block and its timed passes.

        Args:
            block: The turn.
            passed: Its passes.
            shapes: LR shape of each image of the data set.
        """
        self.blocks.append(block)
        for each in passed:
            own_ms = self.cost.of(shapes[each.one.image])
            parent_ms = max(0.0, each.parent_ms - own_ms)
            self.own_ms.append(own_ms)
            self.harness_computed_ms += self.cost.computed(shapes[each.one.image])
            self.samples.add(block.round, block.block, each.one, each.duration, parent_ms)
            self.reservoir.offer(each)
            self.uncaptured = each.uncaptured

    def replace_last_block(self) -> None:
        """Marks the last block as one that is measured again."""
        self.blocks[-1] = msgspec.structs.replace(self.blocks[-1], replaced=True)

    def table(self, rounds: int, images: int) -> Array:
        """Milliseconds of the passes that count, rounds × images."""
        return matrix(self.samples, rounds, images, self._replaced)

    def parent_table(self, rounds: int, images: int) -> Array:
        """`table` by the parent's clock."""
        return matrix(self.samples, rounds, images, self._replaced, self.samples.parent_ms)

    @property
    def _replaced(self) -> set[int]:
        return {block.block for block in self.blocks if block.replaced}

    def clocks(self, rounds: int, images: int) -> Clocks:
        """The passes that count by both clocks, in complete rounds.

        Args:
            rounds: Of the whole evaluation.
            images: Of the data set.
        """
        claimed, parent = self.table(rounds, images), self.parent_table(rounds, images)
        own = matrix(self.samples, rounds, images, self._replaced, self.own_ms)
        whole = np.isfinite(claimed).all(axis=1)
        return Clocks(claimed[whole], parent[whole], own[whole], load=self.load)

    def least_ms(self, shapes: Sequence[network.Shape], macs_per_s: float) -> float:
        """Milliseconds below which no round can be on this device; 0 where the operations are not known.

        Args:
            shapes: LR shape of each image.
            macs_per_s: Rate of a product of large matrices.
        """
        counted = self.extrapolated or self.complexity
        if counted is None:
            return 0.0
        per_pixel = counted.macs / math.prod(counted.input_shape[-2:])
        macs = per_pixel * sum(height * width for height, width in shapes)
        return 1000 * macs / (_FASTER_THAN_PRODUCTS * macs_per_s)

    def warm_ms(self, shape: network.Shape) -> float:
        """Milliseconds of the last warm-up pass over an LR shape."""
        return next(entry.ms[-1] for entry in reversed(self.warmup) if entry.lr_shape == shape)

    def end_process(self) -> None:
        """Puts the passes that were kept at random before those that another process is to repeat."""
        self.load = max(self.load, self.outside.load)
        self.computed_s += self.outside.most_computed_s
        self.unrepeated += self.reservoir.take()
        self.switches_changed |= self.outside.changed
        if self.failure is None:
            with recorded(self):
                self.worker.ask(KeepMemoryRequest())  # after which the worker looks for functions that were replaced
        self.replaced |= self.worker.replaced

    def compare(self, timed: Passed, repeated: Passed, chance: float = 0.0) -> None:
        """Compares a timed pass with one over the same input in another process.

        Args:
            timed: The timed pass.
            repeated: With the same seeds.
            chance: Grey levels by which two repetitions differ, for a network whose random numbers no seed reaches.
        """
        found = difference(timed.values, repeated.values)
        self.repeats.append((found, chance, tolerance(timed.values, on_gpu=self.on_gpu)))
        differing = [each for each in self.repeats if each[0] > each[2]]
        by_chance = _BY_CHANCE * median(each[1] for each in differing) if differing else 0.0
        allowed = [max(each[2], by_chance) for each in self.repeats]
        self.output_check = msgspec.structs.replace(
            self.output_check,
            tolerance=max(allowed),
            compared=len(self.repeats),
            differing=sum(each[0] > most for each, most in zip(self.repeats, allowed, strict=True)),
            largest_difference=max(each[0] for each in self.repeats),
            stochastic=self.output_check.stochastic or by_chance > max(each[2] for each in self.repeats),
        )

    def seal(self) -> None:
        """Seals the worker's sandbox, and notes the layers of the first worker."""
        self.worker.seal()
        if self.report is not None and self.report.sandbox is None:
            self.report = msgspec.structs.replace(self.report, sandbox=self.worker.sandbox)

    @property
    def names_outside(self) -> bool:
        """True if the counts name work outside PyTorch's operators, or cannot.

        On a GPU, a scripted module's operators may be fused into one kernel, which the counts do not see.
        """
        counted = self.complexity
        if counted is None or (counted.scripted and self.on_gpu):
            return True
        return any(name.endswith(network.OUTSIDE) for name in counted.without_formula)

    def unnamed(self, found: InspectAnswer) -> list[str]:
        """Operators without a formula that a watched pass used, and the counts do not name."""
        return sorted({*found.unknown} - self.complexity.without_formula.keys()) if self.complexity else []

    @property
    def contained(self) -> bool:
        """True if the present worker's code can neither read files of others nor write any."""
        state = self.worker.process.state
        return self.worker.process.wishes.mode != "off" and state.essential_fault(sealed=False) is None

    def note_loading(self, found: network.Loading) -> None:
        """Keeps what the first worker reports about loading, with a repository's state and digests."""
        if self.loading is None:
            conf = self.model.repository
            self.loading = repository.provenance(conf, found) if conf.root else found
            tile = replace(self.model.tile, size=found.tile)
            self.model = replace(self.model, data_range=found.data_range, tile=tile)


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
