"""A device's queue of work."""

import time

_SLEEP_NS, _MARGIN_NS = 300_000, 200_000
"""Sleep for waits longer than the one, and wake up earlier by the other."""


def sleep_until(moment: int) -> None:
    """Returns when `time.perf_counter_ns` has reached `moment`."""
    while (left := moment - time.perf_counter_ns()) > 0:
        if left > _SLEEP_NS:
            time.sleep((left - _MARGIN_NS) / 1e9)


class Timeline:
    """When the work that has been launched ends, in nanoseconds of `time.perf_counter_ns`.

    From the first launch after a synchronisation on, the host takes the time that the script says and not what this
    machine takes, so that events measure the same on a busy machine. Work never ends earlier than it would have by the
    real clock of an idle machine, and `synchronize` waits for it.
    """

    def __init__(self) -> None:
        self._idle = True
        self._host_at = self._free_at = 0

    def _begin(self) -> None:
        if self._idle:
            self._idle = False
            self._host_at = max(self._host_at, time.perf_counter_ns())
            self._free_at = max(self._free_at, self._host_at)

    def launch(self, kernel_ns: float, host_ns: float = 0.0, latency_ns: float = 0.0) -> None:
        """Queues a kernel.

        Args:
            kernel_ns: Its duration on the device.
            host_ns: The host is busy with the launch for as long.
            latency_ns: From then to the kernel's earliest beginning.
        """
        self._begin()
        if host_ns:
            sleep_until(time.perf_counter_ns() + int(host_ns))
        self._host_at += int(host_ns)
        self._free_at = max(self._free_at, self._host_at + int(latency_ns)) + int(kernel_ns)

    def mark(self) -> int:
        """The moment at which everything queued so far has ended."""
        self._begin()
        self._free_at = max(self._free_at, self._host_at)
        return self._free_at

    def synchronize(self) -> None:
        """Waits until the queue is empty."""
        sleep_until(self._free_at)
        self._idle = True
