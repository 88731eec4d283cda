"""A thread that samples, slows down when sampling costs too much, and never raises into the run."""

import queue
import statistics
import threading
import time
from collections.abc import Callable
from typing import TypeAlias

from esr.records.telemetry import Sampling
from esr.system.nvml import Sample

TIME = "time_s"
"""Column of seconds since the watch began."""
FASTEST_HZ = 10.0
"""Upper limit on the rate: NVML's calls hold a driver lock that stalls kernel launches."""
_REMEMBERED = 5
"""Costs whose median sets the pace, so that one sample that waited for a core does not."""
_PATIENCE_S = 1.0
"""Longest wait for a sample; a call can hang in the driver for good."""

ReadSample: TypeAlias = Callable[[], Sample]


class Sampler:
    """Calls `read` from its own thread, the only one that does, and keeps each result with its time."""

    def __init__(self, name: str, read: ReadSample, hz: float, max_share: float, start: float) -> None:
        """Prepares a sampler; `start` begins sampling.

        Args:
            name: Of the thread.
            read: Takes one sample.
            hz: Samples per second, capped at `FASTEST_HZ`.
            max_share: Largest fraction of the time spent sampling.
            start: The monotonic time that is zero in the samples.
        """
        self.samples: list[Sample] = []
        self.error: str | None = None
        """Reason for an early end of sampling; `None` if there was none."""
        self.cost_s = 0.0
        """CPU seconds spent sampling."""
        self.interval_s = 1 / min(hz, FASTEST_HZ)
        """Actual seconds between two samples."""
        self._shortest_s = self.interval_s
        self._max_share = max_share
        self._read = read
        self._start = start
        self._costs: list[float] = []
        self._wanted: queue.SimpleQueue[tuple[ReadSample, threading.Event] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begins sampling."""
        self._thread.start()

    def stop(self) -> bool:
        """Ends sampling; safe to call twice. False where a sample hangs, and the thread with it."""
        self._wanted.put(None)
        if self._thread.ident is not None:
            self._thread.join(_PATIENCE_S)
        return not self._thread.is_alive()

    def take(self, read: ReadSample) -> None:
        """Takes one sample now, through another function but on the sampler's thread, and waits for it."""
        if not self._thread.is_alive() or self.error is not None:
            return
        done = threading.Event()
        self._wanted.put((read, done))
        if not done.wait(_PATIENCE_S):
            self.error = f"a sample took longer than {_PATIENCE_S:g} s"

    def _run(self) -> None:
        due = time.monotonic()
        while self.error is None:
            try:
                wanted = self._wanted.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                began = time.monotonic()
                self._sample(self._read)
                self._pace(time.monotonic() - began)
                due = began + self.interval_s
                continue
            if wanted is None:
                return
            read, done = wanted
            self._sample(read)
            done.set()

    def _sample(self, read: ReadSample) -> None:
        stamp = time.monotonic() - self._start
        try:
            values = read()
        except Exception as error:  # failing telemetry must not end the run; the record names the error
            self.error = f"{type(error).__name__}: {error}"
            return
        if values:
            self.samples.append({TIME: stamp, **values})
        self.cost_s = time.thread_time()

    def _pace(self, cost_s: float) -> None:
        self._costs = [*self._costs[-_REMEMBERED + 1 :], cost_s]
        self.interval_s = max(self._shortest_s, statistics.median(self._costs) / self._max_share)

    def report(self) -> Sampling:
        """Cost of sampling, for the record."""
        return Sampling(
            samples=len(self.samples),
            interval_s=round(self.interval_s, 3),
            cpu_s=round(self.cost_s, 4),
            error=self.error,
        )
