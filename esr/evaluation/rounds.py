"""Interleaved rounds: both networks in turn over every image, until enough is known."""

import math
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from esr.config.schema import EsrConf
from esr.config.terms import Ending
from esr.evaluation.inputs import Inputs
from esr.evaluation.passes import run_pass
from esr.evaluation.reproduction import add_pass
from esr.evaluation.subject import Subject, alive, recorded
from esr.evaluation.turns import time_passes, warm_up
from esr.evaluation.worker.messages import RenewRequest
from esr.records.document import Process
from esr.records.network import Block, Shape
from esr.records.reasons import TAINT
from esr.system.progress import Progress
from esr.telemetry.watch import Watch
from esr.timing.plan import Plan
from esr.timing.schedule import Chunk, rounds
from esr.timing.statistics import Array, complete_rounds
from esr.timing.stopping import ended_by

RENEWAL_SHARE = 0.05
"""Most of the time that recompiling kernels, and untimed passes with new ones, may take."""
EVICTION_S = 0.3
"""Seconds that dropping the kernels took on the machines it was measured on; the first guess of a process."""
COMPARED = 32
"""Most passes of a turn that are compared with HR."""


@dataclass
class Measurement:
    """One repetition in fresh processes, from warm-up to the last round; the results are added to the subjects."""

    subjects: Sequence[Subject]
    settings: EsrConf
    shapes: Sequence[Shape]
    """LR shape of each image."""
    watch: Watch
    progress: Progress
    inputs: Inputs
    plan: Plan
    share_s: float
    """Seconds for its rounds."""
    process: int = 0
    """Number of the repetition."""
    first_round: int = 0
    first_block: int = 0
    started: float = field(default_factory=time.monotonic)
    rounds: int = 0
    """Rounds completed."""
    blocks: int = 0
    replaced: int = 0
    renewed_s: float = 0.0
    """Seconds spent on renewing kernels."""
    renewal_s: float = 0.0
    """Likewise, of both networks in one round."""

    def run(self) -> Process:
        """Warms up and measures; no two workers run at the same time."""
        for subject in alive(self.subjects):
            subject.worker.pause()
        try:
            warmup = self.settings.timing.warmup
            steady = warm_up(self.subjects, self.inputs, self.shapes, warmup, self.process, self.watch, self.progress)
            for subject in alive(self.subjects):
                subject.seal()  # until here a compiler may run, for one shape after the other
                with recorded(subject):
                    subject.worker.require_still()
            stopped_by = self._run_rounds()
        finally:
            for subject in self.subjects:
                subject.worker.resume()
        seconds = time.monotonic() - self.started
        return Process(self.first_round, self.rounds, steady, stopped_by, seconds)

    def _run_rounds(self) -> Ending:
        running = alive(self.subjects)
        if not running:
            return "failure"
        seconds = [max(subject.warm_ms(shape) for subject in running) / 1000 for shape in self.shapes]
        self.renewal_s = len(running) * (EVICTION_S + sum(seconds[self.shapes.index(one)] for one in set(self.shapes)))
        self.started = time.monotonic()
        self._announce()
        for chunks in rounds(len(running), seconds, self.settings.timing.block_s, self.plan.seed + self.process):
            self._show()
            renews = self._may_renew(running)
            before = self.renewed_s
            for number, chunk in enumerate(chunks):
                self._measure(chunk, running, renew=renews and number == 0)
            if renews:
                self.renewal_s = self.renewed_s - before
            self.rounds += 1
            if ended := self._ended(running):
                return ended
        raise AssertionError("rounds never end by themselves")

    def _may_renew(self, running: Sequence[Subject]) -> bool:
        """True if the kernels are recompiled in this round, so that their random variation shows between rounds.

        That needs untimed passes over each shape. Where they would take too much of the time, the kernels' variation
        shows only between processes, each of which compiles its own.
        """
        if any(subject.on_gpu for subject in running):
            return False  # kernels cannot be dropped there
        return self.renewed_s + self.renewal_s <= RENEWAL_SHARE * (time.monotonic() - self.started)

    def _announce(self) -> None:
        plan = self.plan
        process = f", process {self.process + 1} of {plan.processes}" if plan.processes > 1 else ""
        unit = "seconds at most" if plan.rounds is None else "rounds"
        self.progress.stage(f"timing{process}, {unit}", plan.rounds or math.ceil(self.share_s))

    def _show(self) -> None:
        total = self.plan.rounds or math.ceil(self.share_s)
        done = self.rounds if self.plan.rounds else int(time.monotonic() - self.started)
        self.progress.at(min(total, done), total)

    def _ended(self, running: Sequence[Subject]) -> Ending | None:
        if not alive(running):
            return "failure"
        # A network whose partner has failed still gets its milliseconds.
        first, *others = [self._table(subject) for subject in alive(running)]
        second = others[0] if others else first
        whole = complete_rounds(first, second)
        return ended_by(first[whole], second[whole], time.monotonic() - self.started, self.plan, self.share_s)

    def _table(self, subject: Subject) -> Array:
        return subject.table(self.first_round + self.rounds, len(self.shapes))[self.first_round :]

    def _measure(self, chunk: Chunk, running: Sequence[Subject], *, renew: bool) -> None:
        """Each network's turn over a chunk; again, up to a limit, where telemetry found one of them disturbed.

        Kernels are recompiled right before a network's own turn, so that both networks begin it in the same state.
        """
        for attempt in range(self.settings.timing.retries + 1):
            last = attempt == self.settings.timing.retries
            measured = []
            disturbed = False
            if attempt:
                fresh = (self.inputs.fresh(one.image) for one in chunk.passes)
                chunk = replace(chunk, passes=tuple(fresh))
            for subject in (running[network] for network in chunk.order):
                if subject.failure is None:
                    with recorded(subject):
                        if renew and attempt == 0:
                            self._renew(subject)
                        disturbed |= bool(self._turn(subject, chunk).reasons)
                        measured.append(subject)
            if last or not disturbed or 2 * self.replaced > self.blocks:  # disturbance is this machine's normal state
                return
            for subject in measured:
                subject.replace_last_block()
            self.replaced += len(measured)

    def _renew(self, subject: Subject) -> None:
        """Drops the kernels, and runs an untimed pass over each shape, so that no timed one pays for recompiling."""
        begun = time.monotonic()
        subject.worker.resume()
        subject.worker.ask(RenewRequest())
        for shape in dict.fromkeys(self.shapes):
            run_pass(subject.worker, self.inputs, self.inputs.fresh(self.shapes.index(shape)))
        subject.worker.pause()
        self.renewed_s += time.monotonic() - begun

    def _turn(self, subject: Subject, chunk: Chunk) -> Block:
        number = self.first_block + self.blocks
        self.blocks += 1
        subject.worker.resume()
        window = self.watch.window(number, subject.role, len(chunk.passes))
        passed = time_passes(subject, self.inputs, chunk.passes, window)
        subject.worker.pause()
        subject.worker.require_still()
        reasons = {found.reason for found in self.watch.disturbances(number) if found.severity == TAINT}
        round_ = self.first_round + chunk.round
        wall_ms = sum(each.parent_ms for each in passed)
        block = Block(number, round_, self.process, wall_ms, tuple(sorted(reasons)))
        subject.add_block(block, passed, self.shapes)
        # As many, at random, as can be compared with HR in little time.
        for each in passed if len(passed) <= COMPARED else secrets.SystemRandom().sample(passed, COMPARED):
            add_pass(subject.on_timed, self.inputs, each)
        return block
