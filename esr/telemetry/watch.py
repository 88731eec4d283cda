"""The watch over an evaluation: samplers, blocks and disturbances behind one object.

with Watch(conf, gpu_uuid, own_pids) as watch:
    while not watch.steady(): ...
    with watch.window(7, "candidate", images=12): ...
    watch.disturbances(7)
result = watch.finish(counted=[7])
"""

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import msgspec

from esr.config.telemetry import TelemetryConf
from esr.config.terms import Role
from esr.records.telemetry import GpuState, GpuWatch, NvmlError, Telemetry, WholeRun, Window
from esr.system.nvml import Gpu, Sample
from esr.telemetry import findings
from esr.telemetry.findings import Disturbance
from esr.telemetry.host import Host
from esr.telemetry.sampler import ReadSample, Sampler
from esr.telemetry.summary import Summary, TimedBlock, combine, energy_per_image, inside, summarise
from esr.telemetry.trace import write_trace

_PID_NAMESPACE = Path("/proc/self/ns/pid")
_FIRST_NAMESPACE = 0xEFFFFFFC
"""The kernel's fixed inode number of the initial PID namespace."""


@dataclass(frozen=True)
class WatchResult:
    """Outcome of a watch."""

    telemetry: Telemetry
    """For the record, without the trace's name."""
    disturbances: list[Disturbance]
    """Of every block, counted or not, then of the run as a whole."""
    samples: list[Sample]

    def write_trace(self, folder: Path) -> Telemetry:
        """Writes every sample beside the record, unless there is none.

        Returns:
            `telemetry`, with the name of the file.

        Raises:
            RecordError: The folder cannot be written.
        """
        if not self.samples:
            return self.telemetry
        return msgspec.structs.replace(self.telemetry, trace=write_trace(self.samples, folder))


class Watch:
    """Watches one GPU, or none, and the host; does nothing where telemetry is disabled."""

    def __init__(self, conf: TelemetryConf, gpu: str | int | None, own_pids: Callable[[], Iterable[int]]) -> None:
        """Prepares a watch; `with` begins and ends it.

        Args:
            conf: Rates and thresholds.
            gpu: UUID as CUDA or NVML gives it, or NVML's index; `None`: no GPU is used.
            own_pids: PIDs of the workers alive now; called repeatedly, from another thread.
        """
        self._conf = conf
        self._which = gpu if conf.enabled else None
        self._own_pids = own_pids
        self._start = time.monotonic()
        self._host: Host | None = None
        self._gpu: Gpu | None = None
        self._samplers: dict[str, Sampler] = {}
        self._states: dict[str, GpuState] = {}
        self._summaries: dict[int, Summary] = {}
        self._disturbances: dict[int, list[Disturbance]] = {}
        self._asked_since: float | None = None
        self._stopped = False

    def __enter__(self) -> "Watch":
        if self._conf.enabled:
            self._host = Host(lambda: {os.getpid(), *self._own_pids()})
            self._add("host", self._host.read, self._conf.host_hz)
        if self._which is not None:
            self._gpu = Gpu(self._which, self._now)
            self._read_state("before", self._gpu)
            self._add("gpu", self._gpu.timed, self._conf.gpu_hz)
        for sampler in self._samplers.values():
            sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _add(self, name: str, read: ReadSample, hz: float) -> None:
        self._samplers[name] = Sampler(f"esr-{name}", read, hz, self._conf.max_share, self._start)

    def _now(self) -> float:
        return time.monotonic() - self._start

    def _read_state(self, when: str, gpu: Gpu) -> None:
        self._states[when] = GpuState(**gpu.slow(), own_processes=tuple(sorted(self._own_pids())))

    def _samples(self, name: str) -> list[Sample]:
        return self._samplers[name].samples if name in self._samplers else []

    @contextmanager
    def window(self, block: int, role: Role = "candidate", images: int = 0) -> Iterator[None]:
        """Encloses one timed block.

        Args:
            block: A new number for each.
            role: The network that is timed; clocks are compared within a role.
            images: Forward passes, for the energy per image.
        """
        self._asked_since = None
        start = self._now()
        # No clocks yet: the GPU idles before a block, which says nothing about the network.
        if self._gpu is not None:
            self._samplers["gpu"].take(self._gpu.energy)
        if self._host is not None:
            self._samplers["host"].take(self._host.counters)
        try:
            yield
        finally:
            if self._gpu is not None:
                gpu = self._gpu
                self._samplers["gpu"].take(lambda: {**gpu.timed(), **gpu.energy()})
            if self._host is not None:
                self._samplers["host"].take(self._host.counters)
            self._close(TimedBlock(block, role, images, start, self._now()))

    def _close(self, timed: TimedBlock) -> None:
        earlier = [
            summary
            for block, summary in self._summaries.items()
            if summary.blocks[0].role == timed.role and not self._disturbances[block]
        ]
        summary = summarise(self._samples("gpu"), self._samples("host"), timed)
        self._summaries[timed.block] = summary
        found = findings.judge_block(summary, earlier, self._conf) if self._conf.enabled else []
        self._disturbances[timed.block] = found

    def disturbances(self, block: int) -> list[Disturbance]:
        """Disturbances of a block that has just ended."""
        return self._disturbances[block]

    def steady(self) -> bool:
        """True once the GPU's temperature and SM clock are stable, and always where no GPU is watched.

        To be polled while networks run: the time counts from the first call after the last block, since a GPU that
        waits for something else is stable, too.
        """
        if self._gpu is None or self._gpu.gone is not None or self._samplers["gpu"].error is not None:
            return True
        now = self._now()
        self._asked_since = now if self._asked_since is None else self._asked_since
        return findings.is_steady(self._samples("gpu"), self._asked_since, now, self._conf)

    def _stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        ended = [sampler.stop() for sampler in self._samplers.values()]
        # Where one call hangs in the driver, the next would hang as well.
        if self._gpu is not None and all(ended):
            self._read_state("after", self._gpu)
            self._gpu.close()

    def finish(self, counted: Collection[int] | None = None) -> WatchResult:
        """Ends the watch, unless it has ended, and sums up.

        Args:
            counted: Blocks that the result rests on, over which the run as a whole is judged; `None`: every block.
        """
        self._stop()
        gpu, machine = self._samples("gpu"), self._samples("host")
        disturbances = [found for several in self._disturbances.values() for found in several]
        if not self._conf.enabled:
            return WatchResult(Telemetry(enabled=False), disturbances, [])
        kept = [s for block, s in self._summaries.items() if counted is None or block in counted]
        whole = combine(kept, gpu, machine)
        telemetry = self._describe(kept, whole)
        timed = [sample for block in whole.blocks for sample in inside(gpu, block)]
        disturbances += findings.judge_run(kept, whole, timed, self._conf)
        disturbances += self._others() + findings.judge_watch(telemetry.gpu)
        return WatchResult(telemetry, disturbances, [*gpu, *machine])

    def _others(self) -> list[Disturbance]:
        """Checked before and after only, as listing processes stalls the driver for milliseconds."""
        pids_match = _sees_host_pids()
        for state in reversed(self._states.values()):
            family = self._host.family if self._host is not None and pids_match else set()
            own = family.union(state.own_processes)
            if found := findings.judge_processes(state.processes or (), own, pids_match):
                return found
        return []

    def _describe(self, kept: list[Summary], whole: Summary) -> Telemetry:
        roles = dict.fromkeys(block.role for block in whole.blocks)
        windows = [
            Window(**asdict(summary.blocks[0]), **msgspec.structs.asdict(summary.figures))
            for summary in self._summaries.values()
        ]
        reason_names = tuple(findings.bit_names(whole.reasons or 0))
        return Telemetry(
            enabled=True,
            gpu=self._describe_gpu(),
            host=self._samplers["host"].report(),
            run=WholeRun(**msgspec.structs.asdict(whole.figures), reason_names=reason_names),
            energy_per_image={
                role: energy_per_image([s for s in kept if s.blocks[0].role == role], self._states.get("before"))
                for role in roles
            },
            windows=msgspec.Raw(msgspec.json.encode(windows)),
        )

    def _describe_gpu(self) -> GpuWatch | None:
        if self._gpu is None:
            return None
        return GpuWatch(
            before=self._states.get("before"),
            after=self._states.get("after"),
            gone=self._gpu.gone,
            mig=self._gpu.mig,
            errors={field: NvmlError(*astuple(error)) for field, error in self._gpu.errors.items()},
            sampling=self._samplers["gpu"].report(),
        )


def _sees_host_pids() -> bool:
    """True if PIDs here are the host's, as NVML gives them; inside a container they are not."""
    with suppress(OSError):
        return _PID_NAMESPACE.stat().st_ino == _FIRST_NAMESPACE
    return False
