"""The host: load, frequencies, temperature and energy. Unreadable values are absent."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from esr.system.nvml import Sample

TOTAL, BUSY, OWN, ENERGY = "host_total_s", "host_busy_s", "host_own_s", "host_energy_j"
"""Columns of counters since boot, or since the start for energy: core-seconds, and joules."""
_TREE_S = 5.0
"""Seconds between two searches for new children, each of which opens one file per thread."""
_PROCESSOR = ("core", "cpu", "k10", "zen", "soc")
"""In the names of processors' sensors; others belong to drives, boards and network cards."""


class Host:
    """Reads the machine; nothing absent raises."""

    def __init__(
        self, own_pids: Callable[[], Iterable[int]], root: Path = Path("/"), clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Reads the energy counters' start.

        Args:
            own_pids: PIDs of the measurement's processes, whose descendants are its own, too; called repeatedly.
            root: Folder of `proc` and `sys`, for energy and children.
            clock: Seconds.
        """
        self._own_pids = own_pids
        self._root = root
        self._clock = clock
        self._tree: dict[int, psutil.Process] = {}
        self._tree_at = float("-inf")
        self.family: set[int] = set()
        """Every PID that has been ours: those of `own_pids` and their descendants."""
        self._rapl = _Rapl(root)

    def counters(self) -> Sample:
        """Core-seconds since boot (all, busy, our own) and joules: cheap, for the start and end of a block."""
        times = psutil.cpu_times()
        # On Linux, user time includes guest time; stolen time is load by others on the same hardware.
        spent = sum(value for name, value in times._asdict().items() if name not in ("guest", "guest_nice"))
        idle = times.idle + getattr(times, "iowait", 0.0)
        return {TOTAL: spent, BUSY: spent - idle, OWN: self._own_s(), **self._rapl.read()}

    def read(self) -> Sample:
        """The counters, each core's frequency in MHz as `cpu0_mhz`, `cpu1_mhz`, …, and the temperature in °C."""
        return {**self.counters(), **_frequencies(), **_temperature()}

    def _own_s(self) -> float:
        self._look_for_children()
        total = 0.0
        for pid, process in list(self._tree.items()):
            try:
                total += sum(process.cpu_times()[:4])  # its own and its dead children's, user and system
            except psutil.Error:
                del self._tree[pid]
        return total

    def _look_for_children(self) -> None:
        roots = set(self._own_pids())
        if roots <= self._tree.keys() and self._clock() - self._tree_at < _TREE_S:
            return
        self._tree_at = self._clock()
        waiting = list(roots)
        seen: set[int] = set()
        while waiting:
            pid = waiting.pop()
            if pid not in seen:
                seen.add(pid)
                waiting += self._children(pid)
        self.family |= seen
        for pid in seen - self._tree.keys():
            with suppress(psutil.Error):  # it has ended; its time went to its parent
                self._tree[pid] = psutil.Process(pid)

    def _children(self, pid: int) -> list[int]:
        """Children as the kernel lists them per thread; psutil would read every process of the machine."""
        found = []
        for file in (self._root / "proc" / str(pid) / "task").glob("*/children"):
            with suppress(OSError):  # the thread has ended
                found += [int(word) for word in file.read_text(encoding="ascii").split()]
        return found


class _Rapl:
    """Joules of all processor packages, from the kernel's powercap interface; readable only by root on most systems."""

    def __init__(self, root: Path) -> None:
        folder = root / "sys" / "class" / "powercap"
        self._domains = [path for path in sorted(folder.glob("intel-rapl:*")) if path.name.count(":") == 1]
        self._last: dict[Path, int] = {}
        self._joules = 0.0

    def read(self) -> Sample:
        """Joules since the first call, as `host_energy_j`; empty where one package cannot be read."""
        try:
            for domain in self._domains:
                now = int((domain / "energy_uj").read_text(encoding="ascii"))
                step = now - self._last.get(domain, now)
                if step < 0:  # the counter has wrapped
                    step += int((domain / "max_energy_range_uj").read_text(encoding="ascii"))
                self._last[domain] = now
                self._joules += step / 1e6
        except (OSError, ValueError):
            self._domains = []
        return {ENERGY: self._joules} if self._domains else {}


def _frequencies() -> Sample:
    with suppress(OSError, NotImplementedError, psutil.Error):
        cores = enumerate(psutil.cpu_freq(percpu=True))
        return {f"cpu{number}_mhz": core.current for number, core in cores if core.current}
    return {}


def _temperature() -> Sample:
    try:
        sensors = psutil.sensors_temperatures()
    except (AttributeError, OSError, psutil.Error):
        return {}
    values = [
        entry.current
        for chip, entries in sensors.items()
        if any(word in chip.lower() for word in _PROCESSOR)
        for entry in entries
    ]
    return {"host_temperature_c": max(values)} if values else {}
