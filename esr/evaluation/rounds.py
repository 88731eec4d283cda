"""The part of an evaluation that is timed: warm-up together, interleaved rounds, an end once enough is known."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from esr.config.schema import EsrConf
from esr.evaluation.subject import Subject
from esr.evaluation.worker.parent import WorkerFailure
from esr.evaluation.worker.protocol import unpack
from esr.system.progress import Progress
from esr.telemetry.watch import Telemetry
from esr.timing.schedule import Chunk, Pass, rounds
from esr.timing.statistics import Array, complete_rounds
from esr.timing.stopping import ended_by
from esr.timing.warmup import settled

TAINT = "taint"
RENEWED_SHAPES, RENEWED_S = 16, 0.05
"""A round of at most so many LR shapes, and of at least so many seconds, begins with kernels that were made for it."""


@contextmanager
def recorded(subject: Subject) -> Iterator[None]:
    """A failure of the network inside this block becomes part of the record."""
    try:
        yield
    except WorkerFailure as failure:
        subject.failure = failure.as_dict()


def alive(subjects: Sequence[Subject]) -> list[Subject]:
    """Those that have not failed."""
    return [subject for subject in subjects if subject.failure is None]


@dataclass
class Measurement:
    """One process per network, from warm-up to the last round; `run` adds to the subjects what it measures."""

    subjects: Sequence[Subject]
    settings: EsrConf
    shapes: Sequence[tuple[int, int]]
    """LR height and width of each image."""
    watch: Telemetry
    progress: Progress
    process: int = 0
    """How many times everything was measured before in other processes."""
    first_round: int = 0
    first_block: int = 0
    started: float = field(default_factory=time.monotonic)
    rounds: int = 0
    """Rounds that were run to the end."""
    blocks: int = 0
    replaced: int = 0

    def run(self) -> dict[str, Any]:
        """Warms up and measures.

        Returns:
            For the record: which rounds these were, what ended them, and whether the device had come to rest.
        """
        for subject in alive(self.subjects):
            subject.worker.pause()
        try:
            steady = self._warm_up()
            ended = self._run_rounds()
        finally:
            for subject in self.subjects:
                subject.worker.resume()
        return {
            "first_round": self.first_round,
            "rounds": self.rounds,
            "steady": steady,
            "stopped_by": ended,
            "seconds": time.monotonic() - self.started,
        }

    def _warm_up(self) -> bool:
        """Passes in turn until each network is settled on each shape, and the device at rest; all get as many."""
        conf = self.settings.timing.warmup
        for shape in dict.fromkeys(self.shapes):
            self.progress.stage(f"warm-up, LR {shape[0]}×{shape[1]}", None)
            passes: dict[str, list[float]] = {subject.role: [] for subject in alive(self.subjects)}
            for _ in range(conf.max_passes):
                for subject in alive(self.subjects):
                    passes[subject.role].append(self._warm_pass(subject, shape))
                if all(settled(passes[subject.role], conf) for subject in alive(self.subjects)):
                    break
            for subject in alive(self.subjects):
                mine = passes[subject.role]
                entry = {"process": self.process, "lr_shape": list(shape), "ms": mine}
                subject.warmup.append({**entry, "settled": settled(mine, conf)})
        return self._heat(conf.max_seconds)

    def _warm_pass(self, subject: Subject, shape: tuple[int, int]) -> float:
        passes = [Pass(self.shapes.index(shape))]
        durations = []
        with recorded(subject):
            durations = self._alone(subject, passes, None, 0)[0]["durations"]
        return float(durations[0]["device_ms"]) if durations else float("nan")

    def _heat(self, limit_s: float) -> bool:
        largest = max(self.shapes, key=lambda shape: shape[0] * shape[1])
        start = time.monotonic()
        self.progress.stage("warm-up, until the GPU is at rest", None)
        while alive(self.subjects) and not self.watch.steady():
            if time.monotonic() - start > limit_s:
                return False
            for subject in alive(self.subjects):
                self._warm_pass(subject, largest)
        return True

    def _run_rounds(self) -> str:
        running = alive(self.subjects)
        if not running:
            return "failure"
        seconds = [max(subject.warm_ms(shape) for subject in running) / 1000 for shape in self.shapes]
        renews = self._worth_renewing(sum(seconds))
        timing = self.settings.timing
        self.started = time.monotonic()
        self._announce()
        for chunks in rounds(len(running), seconds, timing.block_s, timing.seed + self.process):
            self._show()
            for number, chunk in enumerate(chunks):
                self._measure(chunk, running, renew=renews and number == 0)
            self.rounds += 1
            if ended := self._ended(running):
                return ended
        raise AssertionError("rounds never end by themselves")

    def _worth_renewing(self, seconds: float) -> bool:
        """Whether kernels are made anew in each round: luck with them then differs from round to round, and is seen.

        Over many shapes it evens out within a round, and the untimed passes would take as long as the round; where that
        is short, making them would take several times as long.
        """
        return len(set(self.shapes)) <= RENEWED_SHAPES and seconds >= RENEWED_S

    def _renew(self, subject: Subject) -> None:
        images = [self.shapes.index(shape) for shape in dict.fromkeys(self.shapes)]
        subject.worker.resume()
        subject.worker.ask("renew", images=images)
        subject.worker.pause()

    def _announce(self) -> None:
        timing = self.settings.timing
        label = (
            f"timing, process {self.process + 1} of {timing.processes}" if timing.processes > 1 else "timing"
        )
        if timing.rounds is not None:
            self.progress.stage(f"{label}, rounds", timing.rounds)
        else:
            self.progress.stage(f"{label}, seconds at most", round(timing.max_seconds))

    def _show(self) -> None:
        timing = self.settings.timing
        if timing.rounds is not None:
            self.progress.at(self.rounds, timing.rounds)
        else:
            limit = round(timing.max_seconds)
            self.progress.at(min(limit, int(time.monotonic() - self.started)), limit)

    def _ended(self, running: Sequence[Subject]) -> str | None:
        if not alive(running):
            return "failure"
        # A network without a partner to be compared with still gets its milliseconds.
        first, *others = [self._table(subject) for subject in alive(running)]
        second = others[0] if others else first
        whole = complete_rounds(first, second)
        return ended_by(first[whole], second[whole], time.monotonic() - self.started, self.settings.timing)

    def _table(self, subject: Subject) -> Array:
        return subject.table(self.first_round + self.rounds, len(self.shapes))[self.first_round :]

    def _measure(self, chunk: Chunk, running: Sequence[Subject], *, renew: bool) -> None:
        """Both networks' turns over a chunk; again, up to a limit, where telemetry found one of them disturbed.

        Kernels are renewed right before a network's own turn, so that all begin it in the same state.
        """
        for attempt in range(self.settings.timing.retries + 1):
            last = attempt == self.settings.timing.retries
            turns = []
            for subject in (running[network] for network in chunk.order):
                if subject.failure is None:
                    with recorded(subject):
                        if renew and attempt == 0:
                            self._renew(subject)
                        turns.append(self._turn(subject, chunk))
            if last or self._mostly_disturbed() or not any(turn["reasons"] for turn in turns):
                return
            for turn in turns:
                turn["replaced"] = True
            self.replaced += len(turns)

    def _mostly_disturbed(self) -> bool:
        """Whether disturbance is this machine's normal state: measuring again would only take longer."""
        return 2 * self.replaced > self.blocks

    def _turn(self, subject: Subject, chunk: Chunk) -> dict[str, Any]:
        number = self.first_block + self.blocks
        self.blocks += 1
        seed = self.settings.timing.seed
        checked = chunk.passes[chunk.check] if chunk.check is not None else None
        answer, wall_ms = self._alone(
            subject, chunk.passes, chunk.check, seed + checked.image if checked else 0, number
        )
        block = {
            "block": number,
            "round": self.first_round + chunk.round,
            "process": self.process,
            "parent_wall_ms": wall_ms,
            "reasons": sorted({f["reason"] for f in self.watch.findings(number) if f["severity"] == TAINT}),
            "replaced": False,
        }
        subject.add_block(block, chunk.passes, answer["durations"])
        if checked is not None:
            self._check(subject, checked, unpack(answer["sample"]))
        return block

    def _check(self, subject: Subject, one: Pass, timed: Any) -> None:
        if one.alteration is None:
            subject.check_timed(one.image, timed)
            return
        seed = self.settings.timing.seed + one.image
        subject.worker.resume()
        untimed = subject.worker.ask("sample", image=one.image, alteration=one.alteration, seed=seed)
        subject.worker.pause()
        subject.note_audit(untimed)
        original = subject.samples[one.image] if one.image < len(subject.samples) else None
        subject.outputs.compare_altered(timed, unpack(untimed["sample"]), original)

    def _alone(
        self,
        subject: Subject,
        passes: Sequence[Pass],
        check: int | None,
        seed: int,
        window: int | None = None,
    ) -> tuple[dict[str, Any], float]:
        """Timed passes while every other worker is stopped; the parent's own clock bounds what the worker claims."""
        worker = subject.worker
        worker.resume()
        worker.ask("prepare", passes=[{"image": one.image, "alteration": one.alteration} for one in passes])
        if window is None:
            answer = worker.ask("time", check=check, seed=seed)
            wall_ms = 0.0
        else:
            with self.watch.window(window, group=subject.role, images=len(passes)):
                start = time.perf_counter()
                answer = worker.ask("time", check=check, seed=seed)
                wall_ms = (time.perf_counter() - start) * 1000
        worker.pause()
        return answer, wall_ms
