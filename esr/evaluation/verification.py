"""Timed passes repeated, and counted, in a process that has seen none of them."""

import secrets
from collections.abc import Sequence

import msgspec

from esr.config.tiles import count_tiles
from esr.evaluation.passes import Passed, run_pass
from esr.evaluation.recording import Judge, watch
from esr.evaluation.reproduction import difference, tolerance
from esr.evaluation.steps import Evaluation, measured_anew, peak, reset_peak
from esr.evaluation.subject import Subject, WatchedImage, alive, answers_at_once, recorded
from esr.evaluation.turns import compare_repeated
from esr.evaluation.worker.messages import ComplexityRequest
from esr.records.network import Complexity, Shape

SHOWN = 2
"""Passes over images as they are, of those that quality was measured on, that are repeated."""


def verify(evaluation: Evaluation, judge: Judge) -> None:
    """Repeats timed passes and counts; one of them, and one over an image as it is, are replayed by the judge.

    Args:
        evaluation: Its workers have timed nothing.
        judge: Replays what is recorded.
    """
    evaluation.progress.stage("verifying", len(evaluation.subjects))
    _count(evaluation)
    for subject in alive(evaluation.subjects):
        with recorded(subject):
            _verify(evaluation, judge, subject)
        subject.switches_changed |= subject.outside.changed
        subject.replaced |= subject.worker.replaced
        evaluation.progress.advance()


def _count(evaluation: Evaluation) -> None:
    """Counts without values, in both networks at once: the first time, torch imports its compiler for a second."""
    conf = evaluation.settings.complexity
    request = ComplexityRequest(conf.height, conf.width)
    for subject, answer in answers_at_once(measured_anew(evaluation), request):
        subject.complexity, subject.uncounted = answer.complexity, answer.uncounted
        subject.padded_to = answer.padded_to


def _verify(evaluation: Evaluation, judge: Judge, subject: Subject) -> None:
    inputs, worker = evaluation.inputs, subject.worker
    waiting, subject.unrepeated = subject.unrepeated, []
    waiting = waiting or [run_pass(worker, inputs, inputs.fresh(evaluation.by_area()[0]))]
    repeatable, watched = (waiting, None) if subject.untimed_from else (waiting[:-1], waiting[-1])
    shown = subject.shown.take()[:SHOWN]
    image = next((one for one in shown if watched and one.lr.shape == watched.lr.shape), shown[0] if shown else None)
    repeatable = [*repeatable, *(one for one in shown if one is not image)]
    secrets.SystemRandom().shuffle(repeatable)
    for number, timed in enumerate(repeatable):
        repeated = run_pass(worker, inputs, timed.one, timed)
        compare_repeated(subject, inputs, timed, repeated)
        if number == 0:
            _look_for_chance(evaluation, subject, repeated)
    if watched is not None:
        _inspect(evaluation, judge, subject, [watched, *([image] if image else [])], waiting)
    if repeatable and not evaluation.settings.timing.cuda_graph:  # whose pools hold memory between passes
        _measure_later_pass(evaluation, subject, max(repeatable, key=lambda each: each.lr.size))


def _measure_later_pass(evaluation: Evaluation, subject: Subject, timed: Passed) -> None:
    """Peak memory of a pass that is not the first, and that no other process can do."""
    subject.seal()
    reset_peak(subject)
    with subject.outside.watching_peak():
        run_pass(subject.worker, evaluation.inputs, timed.one, timed)
    subject.later_memory = peak(subject)


def _inspect(
    evaluation: Evaluation, judge: Judge, subject: Subject, passes: Sequence[Passed], timed: Sequence[Passed]
) -> None:
    """Watches a timed pass, and one over an image as it is if there is one, and counts for their sizes.

    Args:
        evaluation: Makes the inputs.
        judge: Replays the passes.
        subject: Its worker has repeated the timed passes.
        passes: The one or two passes.
        timed: All timed passes that are known.
    """
    shapes = [one.lr.shape[:2] for one in passes]
    counts = {shape: _count_for(subject, shape) for shape in shapes}
    subject.tiles, subject.extrapolated = counts[shapes[0]]
    found = [watch(judge, evaluation.inputs, subject, one, _another(evaluation, subject, one, timed)) for one in passes]
    subject.inspected = found[0]
    if found[1:] and found[1] is not None:
        tiles, counted = counts[shapes[1]]
        subject.watched_image = WatchedImage(found[1], tiles * counted.macs if counted else None)


def _another(evaluation: Evaluation, subject: Subject, passed: Passed, timed: Sequence[Passed]) -> Passed:
    """A pass over another input of the same size."""
    others = [one for one in timed if one is not passed and one.lr.shape == passed.lr.shape]
    if others:
        return secrets.choice(others)
    return run_pass(subject.worker, evaluation.inputs, evaluation.inputs.fresh(passed.one.image))


def _count_for(subject: Subject, shape: Shape) -> tuple[int, Complexity | None]:
    """Number of tiles of an input, and counts without values for one of them."""
    size = subject.model.tile.size
    part = shape if size is None else (min(size, *shape),) * 2
    return count_tiles(shape, subject.model.tile), subject.worker.ask(ComplexityRequest(*part)).complexity


def _look_for_chance(evaluation: Evaluation, subject: Subject, passed: Passed) -> None:
    """Repeats a pass with another seed of the random generators."""
    other = run_pass(subject.worker, evaluation.inputs, passed.one, passed, passed.seed + 1)
    if difference(passed.values, other.values) > tolerance(passed.values, on_gpu=subject.on_gpu):
        subject.output_check = msgspec.structs.replace(subject.output_check, stochastic=True)
