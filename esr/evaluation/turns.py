"""A network's turn: a few timed passes in a row, and the warm-up passes before the first."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias

from esr.config.schema import WarmupConf
from esr.config.terms import Count
from esr.evaluation.subject import Subject, alive, recorded
from esr.evaluation.worker.messages import PrepareRequest, TimeAnswer, TimeRequest
from esr.evaluation.worker.parent import Worker
from esr.records.network import Shape, WarmUp
from esr.system.progress import Progress
from esr.telemetry.watch import Watch
from esr.timing.schedule import Pass
from esr.timing.warmup import settled

TelemetryWindow: TypeAlias = AbstractContextManager[None]


def time_passes(
    worker: Worker,
    passes: Sequence[Pass],
    sampled: int | None = None,
    seed: int = 0,
    window: TelemetryWindow | None = None,
) -> tuple[TimeAnswer, float]:
    """Times passes, their inputs prepared outside the clocks.

    Args:
        worker: Holds network and images.
        passes: The inputs.
        sampled: Index of the pass whose output is sampled.
        seed: Of the sample.
        window: Telemetry's, around the timed passes.

    Returns:
        The worker's answer, and the milliseconds by the parent's clock, which bound what the worker may claim.
    """
    worker.ask(PrepareRequest(tuple(passes)))
    with window or nullcontext():
        start = time.perf_counter()
        answer = worker.ask(TimeRequest(len(passes), sampled, seed))
        wall_ms = (time.perf_counter() - start) * 1000
    return answer, wall_ms


def warm_up(
    subjects: Sequence[Subject],
    shapes: Sequence[Shape],
    conf: WarmupConf,
    process: Count,
    watch: Watch,
    progress: Progress,
) -> bool:
    """Passes in turn until each network has settled on each shape; both networks get the same number.

    Args:
        subjects: Their workers paused; `warmup` is added to.
        shapes: LR shape of each image.
        conf: Limits.
        process: Number of the repetition.
        watch: Tells when the device is stable.
        progress: Shows the stage.

    Returns:
        True if the device was stable in the end.
    """
    for shape in dict.fromkeys(shapes):
        progress.stage(f"warm-up, LR {shape[0]}×{shape[1]}", None)
        passes: dict[str, list[float]] = {subject.role: [] for subject in alive(subjects)}
        for _ in range(conf.max_passes):
            for subject in alive(subjects):
                passes[subject.role] += _warm_pass(subject, shapes.index(shape))
            if all(settled(passes[subject.role], conf) for subject in alive(subjects)):
                break
        for subject in alive(subjects):
            ms = passes[subject.role]
            subject.warmup.append(WarmUp(process, shape, tuple(ms), settled(ms, conf)))
    return _heat(subjects, shapes, conf.max_seconds, watch, progress)


def _heat(
    subjects: Sequence[Subject], shapes: Sequence[Shape], limit_s: float, watch: Watch, progress: Progress
) -> bool:
    largest = max(range(len(shapes)), key=lambda index: shapes[index][0] * shapes[index][1])
    start = time.monotonic()
    progress.stage("warm-up, until the GPU is stable", None)
    while alive(subjects) and not watch.steady():
        if time.monotonic() - start > limit_s:
            return False
        for subject in alive(subjects):
            _warm_pass(subject, largest)
    return True


def _warm_pass(subject: Subject, image: int) -> list[float]:
    """Milliseconds of one pass; empty if the network failed."""
    passes = []
    with recorded(subject):
        subject.worker.resume()
        answer, _ = time_passes(subject.worker, [Pass(image)])
        subject.worker.pause()
        passes.append(answer.durations[0].ms)
    return passes
