"""A pass as the parent sees it: the input sent, the output sampled, and the time of both by the parent's clock."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from esr.config.schema import SCALE
from esr.evaluation.inputs import Inputs, Values
from esr.evaluation.worker.messages import PassRequest, SampleRequest
from esr.evaluation.worker.parent import Worker, WorkerFailure
from esr.images.pixels import ImageArray
from esr.records.network import Shape
from esr.timing.samples import Duration
from esr.timing.schedule import Pass

_SEEDS = 10**18
_CALIBRATED_SHAPES = 3
_CALIBRATIONS, _DISCARDED = 15, 3
"""Passes of the plainest network over a shape, and those at the beginning that do not count."""
_UNDISTURBED = 0.25
"""Quantile of them that a busy machine raises little."""


@dataclass(frozen=True)
class Passed:
    """A pass that has ended, with a sample of its output."""

    one: Pass
    seed: int
    """Of the worker's random generators."""
    sample_seed: int
    values: Values
    """Grey levels, all finite."""
    duration: Duration
    """As the worker claims."""
    ready_ms: float
    """From sending the input to the worker's claim."""
    parent_ms: float
    """From sending the input to the sampled output."""
    lr: ImageArray
    """The input."""
    uncaptured: str | None = None


@dataclass(frozen=True)
class HarnessCost:
    """Milliseconds of a pass by the parent's clock that are not the network's, by the number of LR pixels."""

    pixels: tuple[int, ...]
    ms: tuple[float, ...]
    """Over passes of the plainest network, in the same worker, before it knew a stranger's code."""

    processor_ms: tuple[float, ...] = (0.0,)
    """Processor time of such a pass, that of the plainest network included."""

    def of(self, shape: Shape) -> float:
        """Of a pass over an LR shape."""
        return float(np.interp(shape[0] * shape[1], self.pixels, self.ms))

    def computed(self, shape: Shape) -> float:
        """Most processor time of the harness in a pass over an LR shape."""
        return min(self.of(shape), float(np.interp(shape[0] * shape[1], self.pixels, self.processor_ms)))


def run_pass(worker: Worker, inputs: Inputs, one: Pass, like: Passed | None = None, seed: int | None = None) -> Passed:
    """Runs a pass, and only then says which values of its output to send.

    Args:
        worker: Holds the network.
        inputs: Makes the input.
        one: The input.
        like: Repeats this pass: the same seeds.
        seed: Of the random generators, in place of that pass's.

    Raises:
        WorkerFailure: The network fails, or its output is not finite.
    """
    lr = like.lr if like and like.one == one else inputs.lr(one)
    seed = like.seed if like and seed is None else secrets.randbelow(_SEEDS) if seed is None else seed
    sample_seed = like.sample_seed if like else secrets.randbelow(_SEEDS)
    return _timed(worker, lr, one, seed, sample_seed)


def _timed(worker: Worker, lr: ImageArray, one: Pass, seed: int, sample_seed: int) -> Passed:
    request = PassRequest(lr, seed)
    sampled = SampleRequest(values_of(lr), sample_seed)
    start = time.perf_counter_ns()
    answer = worker.ask(request)
    ready = time.perf_counter_ns()
    values = worker.ask(sampled).values
    end = time.perf_counter_ns()
    check_finite(values)
    ready_ms, parent_ms = (ready - start) / 1e6, (end - start) / 1e6
    return Passed(one, seed, sample_seed, values, answer.duration, ready_ms, parent_ms, lr, answer.uncaptured)


def sampled(worker: Worker, passed: Passed) -> Passed:
    """A pass with values of the worker's last output, at the places that follow from its seed.

    Raises:
        WorkerFailure: Some are not finite.
    """
    values = worker.ask(SampleRequest(values_of(passed.lr), passed.sample_seed)).values
    check_finite(values)
    return replace(passed, values=values)


def values_of(lr: ImageArray) -> int:
    """Number of values in the SR of an LR image."""
    return lr.size * SCALE * SCALE


def check_finite(values: Values) -> None:
    """Refuses values that are NaN or infinite.

    Raises:
        WorkerFailure: Some are.
    """
    if bad := int((~np.isfinite(values)).sum()):
        message = f"output holds values that are NaN or infinite: {bad} of {values.size} sampled"
        raise WorkerFailure("pass", "bad_output", message)


def calibrate_harness(worker: Worker, shapes: Sequence[Shape], processor_s: Callable[[], float]) -> HarnessCost:
    """The harness's own time per pass, measured with a worker that holds the plainest network.

    Args:
        worker: With its device open and nothing loaded.
        shapes: LR shape of each image; a few of them are measured, the others interpolated.
        processor_s: Reads the worker's processor time.
    """
    by_pixels = {height * width: (height, width) for height, width in shapes}
    sizes = sorted(by_pixels)
    chosen = sorted({sizes[round(step)] for step in np.linspace(0, len(sizes) - 1, _CALIBRATED_SHAPES)})
    typical, computed = [], []
    for size in chosen:
        lr = np.zeros((*by_pixels[size], 3), np.uint8)
        found, spent = [], []
        for number in range(_CALIBRATIONS):
            before = processor_s()
            passed = _timed(worker, lr, Pass(0), number, number)
            spent.append(1000 * (processor_s() - before))
            found.append(passed.parent_ms - passed.duration.ms)
        typical.append(max(0.0, float(np.quantile(found[_DISCARDED:], _UNDISTURBED))))
        computed.append(max(0.0, float(np.median(spent[_DISCARDED:]))))
    return HarnessCost(tuple(chosen), tuple(typical), tuple(computed))
