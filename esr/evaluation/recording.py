"""Passes recorded by a network's worker, and replayed by one that gets no network: what is found there is believed."""

from dataclasses import dataclass, field

from esr.config.schema import EsrConf
from esr.errors import EsrError
from esr.evaluation.crew import Crew
from esr.evaluation.inputs import Inputs
from esr.evaluation.passes import Passed, run_pass, sampled
from esr.evaluation.reproduction import difference, tolerance
from esr.evaluation.subject import Subject
from esr.evaluation.turns import compare_repeated
from esr.evaluation.worker import messages
from esr.evaluation.worker.envelope import Pixels
from esr.evaluation.worker.parent import Worker, WorkerFailure
from esr.text import one_line

_FEW_CONSTANTS = 1024
"""Numbers on a tape, besides parameters, that cannot hold what was sampled of a pass, which its worker knows."""
_FEW_OPERATORS = 4096
"""Likewise of operators, each of which may choose a number."""
_IMAGE_SHARE = 8
"""Fraction, as divisor, of the input's values from which on such numbers may hold part of the answer."""


@dataclass
class Judge:
    """A worker that gets no network, and a new one after a tape that has ended it; a context manager."""

    crew: Crew
    settings: EsrConf
    worker: Worker | None = None
    _opened: bool = field(init=False, default=False)

    def __enter__(self) -> "Judge":
        self.worker = self.crew.without_network()  # imports torch while the networks are loaded
        return self

    def __exit__(self, *_: object) -> None:
        if self.worker is not None:
            self.worker.__exit__(KeyboardInterrupt, None, None)  # killed: it has nothing to finish
        self.worker, self._opened = None, False

    def ready(self) -> Worker:
        """The worker, its device open."""
        self.worker = self.worker or self.crew.without_network()
        if not self._opened:
            self.worker.ask(messages.OpenRequest(self.settings.device, self.settings.cudnn))
            self._opened = True
        return self.worker


def watch(
    judge: Judge, inputs: Inputs, subject: Subject, passed: Passed, other: Passed
) -> messages.InspectAnswer | None:
    """Has a pass recorded, and replays and watches it elsewhere.

    Args:
        judge: Replays it.
        inputs: Makes the inputs.
        subject: Its counts known, its worker a process that has not seen the pass.
        passed: The pass.
        other: One over another input of the same size, which the worker cannot know to be this one.

    Returns:
        The findings; `None` if it cannot be replayed, which is noted.

    Raises:
        WorkerFailure: The network failed.
    """
    answer = subject.worker.ask(messages.RecordRequest(passed.lr, passed.seed))
    subject.switches_changed |= answer.switches
    subject.changes_input |= answer.changes_input
    if answer.fault is not None:
        subject.unproven = one_line(answer.fault)
        return None
    try:
        found, replayed, apart = _replay(judge, inputs, subject, answer.tape, passed, other)
    except (EsrError, WorkerFailure) as error:
        judge.__exit__()
        subject.unproven = f"a recorded pass cannot be replayed: {error}"
        return None
    compare_repeated(subject, inputs, passed, replayed, watched=True)
    subject.precisions |= found.precisions
    if apart and not _is_named(subject, found):
        subject.unproven = f"on another input, the recorded operators are {apart:.3g} grey levels off"
    return found


def _replay(
    judge: Judge, inputs: Inputs, subject: Subject, tape: Pixels, passed: Passed, other: Passed
) -> tuple[messages.InspectAnswer, Passed, float]:
    """Findings, the replayed pass, and grey levels between a replay over the other input and its pass.

    The last is 0 within the tolerance, and if what the tape holds is too little to answer from.
    """
    worker = judge.ready()
    worker.ask(messages.ReplayRequest(tape, subject.model.data_range))
    found = worker.ask(messages.InspectRequest(passed.lr, passed.seed))
    replayed = sampled(worker, passed)
    apart = 0.0
    few = min(_FEW_CONSTANTS, passed.lr.size // _IMAGE_SHARE)
    if found.constants > few or found.operators > _FEW_OPERATORS:
        apart = difference(other.values, run_pass(worker, inputs, other.one, other).values)
    return found, replayed, apart if apart > tolerance(other.values, on_gpu=subject.on_gpu) else 0.0


def _is_named(subject: Subject, found: messages.InspectAnswer) -> bool:
    """True if part of the work cannot be replayed, and the counts name it."""
    return (found.foreign and not subject.unnamed(found)) or (found.filled > 0 and subject.names_outside)
