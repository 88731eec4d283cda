"""The watch that an evaluation keeps: samplers, windows, verdicts, behind one object.

with Telemetry(conf, gpu_uuid, own_pids) as watch:
    while not watch.steady(): ...
    with watch.window(7, group="candidate", images=12): ...
    watch.findings(7)
result = watch.finish(counted=[7])
"""

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from esr.config.telemetry import TelemetryConf
from esr.system.nvml import Gpu, Sample
from esr.telemetry.host import Host
from esr.telemetry.sampler import Sampler
from esr.telemetry.summary import Summary, Window, combine, energy_per_image, inside, summarise
from esr.telemetry.trace import write_trace
from esr.telemetry.verdict import (
    Finding,
    bit_names,
    is_steady,
    judge_processes,
    judge_run,
    judge_watch,
    judge_window,
)

_PID_NAMESPACE = Path("/proc/self/ns/pid")
_FIRST_NAMESPACE = 0xEFFFFFFC
"""The kernel's fixed number of the PID namespace that it starts with."""


@dataclass(frozen=True)
class TelemetryResult:
    """What the watch has to say of a run."""

    summary: dict[str, Any]
    """Plain data for the record; `docs/telemetry.md` lists its keys."""
    findings: list[Finding]
    """Of every block, counted or not, then of the run as a whole."""
    samples: list[Sample]

    def write_trace(self, folder: Path) -> str | None:
        """Writes every sample beside the record.

        Returns:
            The file's name within `folder`; none where nothing was sampled.

        Raises:
            RecordError: The folder cannot be written.
        """
        return write_trace(self.samples, folder) if self.samples else None


class Telemetry:
    """Watches one GPU, or none, and the host. With `enabled: false` every method answers and nothing is done."""

    def __init__(
        self, conf: TelemetryConf, gpu: str | int | None, own_pids: Callable[[], Iterable[int]]
    ) -> None:
        """Prepares; `with` begins and ends the watch.

        Args:
            conf: Pace and thresholds.
            gpu: UUID as CUDA or NVML gives it, or NVML's index; none: no GPU is used.
            own_pids: PIDs of the workers alive now; asked again and again, from another thread.
        """
        self._conf = conf
        self._which = gpu if conf.enabled else None
        self._own_pids = own_pids
        self._start = time.monotonic()
        self._host: Host | None = None
        self._gpu: Gpu | None = None
        self._samplers: dict[str, Sampler] = {}
        self._slow: dict[str, dict[str, Any]] = {}
        self._summaries: dict[int, Summary] = {}
        self._findings: dict[int, list[Finding]] = {}
        self._asked_since: float | None = None
        self._stopped = False

    def __enter__(self) -> "Telemetry":
        if self._conf.enabled:
            self._host = Host(lambda: {os.getpid(), *self._own_pids()})
            self._add("host", self._host.read, self._conf.host_hz)
        if self._which is not None:
            self._gpu = Gpu(self._which, self._now)
            self._look("before")
            self._add("gpu", self._gpu.timed, self._conf.gpu_hz)
        for sampler in self._samplers.values():
            sampler.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _add(self, name: str, read: Callable[[], Sample], hz: float) -> None:
        self._samplers[name] = Sampler(f"esr-{name}", read, hz, self._conf.max_share, self._start)

    def _now(self) -> float:
        return time.monotonic() - self._start

    def _look(self, when: str) -> None:
        if self._gpu is not None:
            self._slow[when] = {**self._gpu.slow(), "own_processes": sorted(self._own_pids())}

    def _samples(self, name: str) -> list[Sample]:
        return self._samplers[name].samples if name in self._samplers else []

    @contextmanager
    def window(self, number: int, group: str = "", images: int = 0) -> Iterator[None]:
        """Marks one timed block.

        Args:
            number: Of the block, a new one for each.
            group: Whose block it is, as `candidate`; clocks are compared within a group.
            images: Forward passes in it, for the energy per image.
        """
        self._asked_since = None
        start = self._now()
        # No clocks yet: before a block the GPU idles, and that says nothing about the network.
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
            self._close(Window(number, group, images, start, self._now()))

    def _close(self, window: Window) -> None:
        earlier = [
            summary
            for number, summary in self._summaries.items()
            if summary.windows[0].group == window.group and not self._findings[number]
        ]
        summary = summarise(self._samples("gpu"), self._samples("host"), window)
        self._summaries[window.number] = summary
        self._findings[window.number] = (
            judge_window(summary, earlier, self._conf) if self._conf.enabled else []
        )

    def findings(self, number: int) -> list[Finding]:
        """What speaks against a block, right after it; empty: it counts."""
        return self._findings[number]

    def steady(self) -> bool:
        """Whether the GPU's temperature and SM clock have come to rest; always true where none can be watched.

        To be asked again and again while networks run: what counts is the time since it was first asked after
        the last window, as a GPU that waits for something else is at rest too.
        """
        if self._gpu is None or self._gpu.gone is not None or self._samplers["gpu"].error is not None:
            return True
        now = self._now()
        self._asked_since = now if self._asked_since is None else self._asked_since
        return is_steady(self._samples("gpu"), self._asked_since, now, self._conf)

    def _stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        ended = [sampler.stop() for sampler in self._samplers.values()]
        # Where a call hangs in the driver another one would hang as well.
        if self._gpu is not None and all(ended):
            self._look("after")
            self._gpu.close()

    def finish(self, counted: Collection[int] | None = None) -> TelemetryResult:
        """Ends the watch, where that has not happened yet, and sums up.

        Args:
            counted: Numbers of the blocks that the result rests on; the findings of the run as a whole are
                judged over these. None: every block.
        """
        self._stop()
        gpu, machine = self._samples("gpu"), self._samples("host")
        kept = [s for number, s in self._summaries.items() if counted is None or number in counted]
        whole = combine(kept, gpu, machine)
        summary = self._describe(kept, whole)
        findings = [found for several in self._findings.values() for found in several]
        if self._conf.enabled:
            timed = [sample for window in whole.windows for sample in inside(gpu, window)]
            findings += judge_run(kept, whole, timed, self._conf)
            findings += self._others() + judge_watch(summary["gpu"])
        return TelemetryResult(summary, findings, [*gpu, *machine])

    def _others(self) -> list[Finding]:
        """Looked for before and after only, as listing processes stalls the driver for milliseconds."""
        pids_match = _sees_host_pids()
        for slow in reversed(self._slow.values()):
            family = self._host.family if self._host is not None and pids_match else set()
            own = family.union(slow["own_processes"])
            if found := judge_processes(slow["processes"] or [], own, pids_match):
                return found
        return []

    def _describe(self, kept: list[Summary], whole: Summary) -> dict[str, Any]:
        if not self._conf.enabled:
            return {"enabled": False}
        groups = dict.fromkeys(window.group for window in whole.windows)
        return {
            "enabled": True,
            "thresholds": asdict(self._conf),
            "gpu": self._describe_gpu(),
            "host": {"sampling": self._samplers["host"].as_dict()},
            "run": {**whole.as_dict(), "reason_names": bit_names(whole.reasons or 0)},
            "energy_per_image": {
                group: energy_per_image([s for s in kept if s.windows[0].group == group]) for group in groups
            },
            "windows": [{**asdict(s.windows[0]), **s.as_dict()} for s in self._summaries.values()],
        }

    def _describe_gpu(self) -> dict[str, Any] | None:
        if self._gpu is None:
            return None
        return {
            "before": self._slow.get("before"),
            "after": self._slow.get("after"),
            "gone": self._gpu.gone,
            "errors": self._gpu.errors,
            "sampling": self._samplers["gpu"].as_dict(),
        }


def _sees_host_pids() -> bool:
    """Whether PIDs here are those of the host, as NVML gives them; a container's are not."""
    try:
        return _PID_NAMESPACE.stat().st_ino == _FIRST_NAMESPACE
    except OSError:
        return False
