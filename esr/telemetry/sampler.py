"""A thread that samples, slows down when that costs too much, and never raises into the run."""

import queue
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

from esr.system.nvml import Sample

TIME = "time_s"
"""The column of seconds since the watch began."""
FASTEST_HZ = 10.0
"""NVML's calls hold a lock of the driver that stalls kernel launches: never more often, whatever is asked."""
_REMEMBERED = 5
"""Costs whose median sets the pace, so that one sample that had to wait for a core does not."""
_PATIENCE_S = 1.0
"""How long the run waits for a sample; a call can hang in the driver for good."""

Read = Callable[[], Sample]


class Sampler:
    """Calls `read` from a thread of its own, the only one that does, and keeps what it says, stamped."""

    def __init__(self, name: str, read: Read, hz: float, max_share: float, start: float) -> None:
        """Prepares; `start` begins.

        Args:
            name: Of the thread.
            read: One sample.
            hz: Samples per second; taken as `FASTEST_HZ` where it is more.
            max_share: Fraction of the time that may go into sampling.
            start: The monotonic time that is zero in the samples.
        """
        self.samples: list[Sample] = []
        self.error: str | None = None
        """What ended the sampling before its time; none: nothing did."""
        self.cost_s = 0.0
        """CPU seconds spent sampling."""
        self.interval_s = 1 / min(hz, FASTEST_HZ)
        """Seconds between two samples, as it came to be."""
        self._shortest_s = self.interval_s
        self._max_share = max_share
        self._read = read
        self._start = start
        self._costs: list[float] = []
        self._wanted: queue.SimpleQueue[tuple[Read, threading.Event] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begins sampling."""
        self._thread.start()

    def stop(self) -> bool:
        """Ends sampling; a second call changes nothing. False where a sample hangs and the thread with it."""
        self._wanted.put(None)
        if self._thread.ident is not None:
            self._thread.join(_PATIENCE_S)
        return not self._thread.is_alive()

    def take(self, read: Read) -> None:
        """Has the thread take one sample now, by another function, and waits for it: the border of a window."""
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

    def _sample(self, read: Read) -> None:
        stamp = time.monotonic() - self._start
        try:
            values = read()
        except Exception as error:  # a watch that fails must not take the run with it; the record says so
            self.error = f"{type(error).__name__}: {error}"
            return
        if values:
            self.samples.append({TIME: stamp, **values})
        self.cost_s = time.thread_time()

    def _pace(self, cost_s: float) -> None:
        self._costs = [*self._costs[-_REMEMBERED + 1 :], cost_s]
        self.interval_s = max(self._shortest_s, statistics.median(self._costs) / self._max_share)

    def as_dict(self) -> dict[str, Any]:
        """What sampling itself cost, for the record."""
        return {
            "samples": len(self.samples),
            "interval_s": round(self.interval_s, 3),
            "cpu_s": round(self.cost_s, 4),
            "error": self.error,
        }
