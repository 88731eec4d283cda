"""A network's turn: a few timed passes in a row, and the warm-up passes before the first."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import combinations
from typing import TypeAlias

from esr.config.schema import WarmupConf
from esr.config.terms import Count
from esr.evaluation.inputs import Inputs
from esr.evaluation.passes import Passed, run_pass
from esr.evaluation.reproduction import difference, tolerance
from esr.evaluation.subject import Subject, alive, recorded
from esr.records.network import Shape, WarmUp
from esr.system.progress import Progress
from esr.telemetry.watch import Watch
from esr.timing.schedule import Pass
from esr.timing.warmup import settled, unsettled

_TRIES = 3
"""Repetitions that all have to differ from each other before chance is the cause."""

TelemetryWindow: TypeAlias = AbstractContextManager[None]


def time_passes(
    subject: Subject, inputs: Inputs, passes: Sequence[Pass], window: TelemetryWindow | None = None
) -> list[Passed]:
    """Times passes one by one; the worker knows no input before its clock runs.

    Args:
        subject: Its worker running.
        inputs: Makes the inputs.
        passes: In this order.
        window: Telemetry's, around the passes.

    Raises:
        WorkerFailure: The network failed.
    """
    outside = subject.outside
    with window or nullcontext():
        outside.begin_turn()
        passed = [run_pass(subject.worker, inputs, one) for one in passes]
        outside.end_turn(None if subject.report is None or subject.on_gpu else subject.report.threads)
    outside.look()
    return passed


def warm_up(
    subjects: Sequence[Subject],
    inputs: Inputs,
    shapes: Sequence[Shape],
    conf: WarmupConf,
    process: Count,
    watch: Watch,
    progress: Progress,
) -> bool:
    """Passes in turn until each network has settled on each shape; both networks get the same number.

    Args:
        subjects: Their workers paused; `warmup` is added to.
        inputs: Makes the inputs.
        shapes: LR shape of each image.
        conf: Limits.
        process: Number of the repetition.
        watch: Tells when the device is stable.
        progress: Shows the stage.

    Returns:
        True if the device was stable in the end.
    """
    start = time.monotonic()
    distinct = dict.fromkeys(shapes)
    for number, shape in enumerate(distinct, 1):
        title = f"warm-up, LR {shape[0]}×{shape[1]} ({number} of {len(distinct)})"
        progress.stage(f"{title}, passes at most", conf.max_passes)
        passes: dict[str, list[float]] = {subject.role: [] for subject in alive(subjects)}
        for done in range(1, conf.max_passes + 1):
            for subject in alive(subjects):
                passes[subject.role] += _warm_pass(subject, inputs, shapes, shapes.index(shape))
            waits = [reason for subject in alive(subjects) if (reason := unsettled(passes[subject.role], conf))]
            if not waits or time.monotonic() - start > conf.max_seconds:
                break
            if done == conf.min_passes or done % conf.window == 0:
                progress.stage(f"{title}: {waits[0]}; passes at most", conf.max_passes)
            progress.at(done, conf.max_passes)
        for subject in alive(subjects):
            ms = passes[subject.role]
            subject.warmup.append(WarmUp(process, shape, tuple(ms), settled(ms, conf)))
    return _heat(subjects, inputs, shapes, start + conf.max_seconds, watch, progress)


def _heat(
    subjects: Sequence[Subject],
    inputs: Inputs,
    shapes: Sequence[Shape],
    until: float,
    watch: Watch,
    progress: Progress,
) -> bool:
    largest = max(range(len(shapes)), key=lambda index: shapes[index][0] * shapes[index][1])
    if alive(subjects) and not watch.steady():
        progress.stage("warm-up, until the GPU's temperature and clock are stable", None)
    while alive(subjects) and not watch.steady():
        if time.monotonic() > until:
            return False
        for subject in alive(subjects):
            _warm_pass(subject, inputs, shapes, largest)
    return True


def _warm_pass(subject: Subject, inputs: Inputs, shapes: Sequence[Shape], image: int) -> list[float]:
    """Milliseconds of one pass; empty if the network failed.

    A pass that another process timed is repeated, where one of this shape is left: it warms up as well as any other.
    """
    passes = []
    timed = next((each for each in subject.unrepeated if shapes[each.one.image] == shapes[image]), None)
    with recorded(subject):
        subject.worker.resume()
        passed = run_pass(subject.worker, inputs, timed.one if timed else inputs.fresh(image), timed)
        if timed is not None:
            subject.unrepeated.remove(timed)
            compare_repeated(subject, inputs, timed, passed)
        subject.worker.pause()
        passes.append(passed.duration.ms)
    return passes


def compare_repeated(
    subject: Subject, inputs: Inputs, timed: Passed, repeated: Passed, *, watched: bool = False
) -> None:
    """Compares a timed pass with its repetition; where they differ, finds out by how much chance changes a pass.

    Args:
        subject: Its worker running.
        inputs: Makes the inputs.
        timed: Of another process.
        repeated: Over the same input with the same seeds.
        watched: The repetition was watched, and says nothing about chance: a network may tell.

    Raises:
        WorkerFailure: The network failed.
    """
    chance = 0.0
    allowed = tolerance(timed.values, on_gpu=subject.on_gpu)
    if difference(timed.values, repeated.values) > allowed:
        known = [] if watched else [repeated]
        known += [run_pass(subject.worker, inputs, timed.one, timed) for _ in range(_TRIES - len(known))]
        # A network that changes its ways in between has two alike.
        chance = min(difference(one.values, other.values) for one, other in combinations(known, 2))
    subject.compare(timed, repeated, chance)
