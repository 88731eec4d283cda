"""A worker as the kernel and the driver show it: memory, threads and their settings, whatever the worker says."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from esr.records.network import Memory, SettingValue
from esr.sandbox.process import stat_fields
from esr.system import nvml

MIB = 1024.0 * 1024.0
_KIB = 1024
_NICE, _POLICY = 16, 38
"""Fields of /proc/PID/task/TID/stat after the command's name, from 0; proc(5) numbers them 19 and 41."""
_USER, _SYSTEM = 11, 12
"""Likewise 14 and 15: ticks."""
_POLICIES = {0: "other", 1: "fifo", 2: "rr", 3: "batch", 5: "idle", 6: "deadline"}
_TICK_S = 0.02
_LOOK_S = 0.002
_NOT_BUSY = ("idle", "iowait", "guest", "guest_nice")
"""Columns of the machine's processor times; guests' are also counted as user time."""
_BUSY_SHARE, _BUSY_S = 1.2, 0.1
"""Core-seconds allowed beyond the threads that were given, for clock ticks and the harness: share, and seconds."""


@dataclass
class Outside:
    """One worker's process."""

    pid: int
    expected: dict[str, SettingValue] = field(default_factory=dict)
    """Settings before a stranger's code was known to the worker."""
    changed: dict[str, SettingValue] = field(default_factory=dict)
    """Settings seen to differ since, as the `switches_changed` of the record."""
    resident: int | None = None
    """Bytes resident when the peak was reset; `None` where that is not permitted."""
    seen: int = 0
    """Largest mark seen since then, whatever the worker has done to it."""
    context_mib: float | None = None
    """The driver's figure before a network was loaded."""
    turns_s: float = 0.0
    computed_s: float = 0.0
    """Processor time of the worker during the turns, all threads together."""
    others_s: float = 0.0
    """Core-seconds that other processes took during the turns."""
    _started: float = 0.0
    ticks_s: float = 0.0
    """Likewise, threads that have ended included, to the precision of the clock's ticks."""
    _ticks: float = 0.0
    _own: float = 0.0
    _worker: float = 0.0
    _busy: float = 0.0

    def learn(self) -> None:
        """Takes the present settings for those that are to stay."""
        self.expected = next(self._settings(), {})

    def look(self) -> None:
        """Notes every setting of a thread that differs; to be called while no clock runs."""
        for found in self._settings():
            for name, value in found.items():
                wanted = self.expected.get(name)
                fewer = isinstance(value, tuple) and isinstance(wanted, tuple) and set(value) <= set(wanted)
                if value != wanted and not fewer:
                    self.changed[name] = value

    def _settings(self) -> Iterator[dict[str, SettingValue]]:
        """Of each thread, the main one first."""
        with suppress(OSError):
            for task in sorted(Path(f"/proc/{self.pid}/task").iterdir(), key=lambda task: int(task.name)):
                with suppress(OSError, ValueError, IndexError):
                    fields = stat_fields(task / "stat")
                    policy = int(fields[_POLICY])
                    yield {
                        "priority": int(fields[_NICE]),
                        "policy": _POLICIES.get(policy, str(policy)),
                        "cpus": tuple(sorted(os.sched_getaffinity(int(task.name)))),
                    }

    def begin_turn(self) -> None:
        """Reads the clocks of processor time at the start of a turn."""
        self._started = time.monotonic()
        self._own, self._worker = self._own_seconds(), self.processor_seconds()
        self._ticks = _core_seconds(self.pid)
        self._busy = _busy_seconds()

    def end_turn(self, threads: int | None) -> None:
        """Adds up how busy others kept the machine since `begin_turn`, and notes more running threads than were given.

        Args:
            threads: Those given; `None`: not limited.
        """
        elapsed, own, busy = time.monotonic() - self._started, self._own_seconds(), _busy_seconds()
        self.turns_s += elapsed
        self.others_s += max(0.0, busy - self._busy - (own - self._own))
        worker = max(0.0, self.processor_seconds() - self._worker)
        self.computed_s += worker
        self.ticks_s += _core_seconds(self.pid) - self._ticks
        if threads is not None and worker > _BUSY_SHARE * threads * elapsed + _BUSY_S:
            self.changed["busy_threads"] = round(worker / elapsed)

    @property
    def load(self) -> float:
        """Share of the machine's processors that others took during all turns."""
        if not self.turns_s:
            return 0.0
        share = self.others_s / (self.turns_s * (os.cpu_count() or 1))
        return min(share, 1.0)  # in a short turn, one tick of the clock is longer than the turn

    @property
    def most_computed_s(self) -> float:
        """Processor time during the turns: of threads that are left, or of all with the clock's ticks."""
        return max(self.computed_s, self.ticks_s - _TICK_S) if self.pid != os.getpid() else 0.0

    def processor_seconds(self) -> float:
        """Processor time of the worker's present threads, in nanoseconds' precision; 0 for this process itself."""
        total = 0
        if self.pid != os.getpid():
            for task in Path(f"/proc/{self.pid}/task").glob("*/schedstat"):
                with suppress(OSError, ValueError, IndexError):
                    total += int(task.read_text(encoding="ascii").split()[0])
        return total / 1e9

    def _own_seconds(self) -> float:
        """Processor time of the worker and of this process, so far."""
        return sum(_core_seconds(pid) for pid in {self.pid, os.getpid()})

    def reset_peak(self) -> None:
        """Resets the kernel's high-water mark of resident memory to what is resident now, where permitted."""
        self.resident, self.seen = None, 0
        with suppress(OSError, ValueError, KeyError):
            Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")
            self.resident = self._status()["VmRSS"]

    def peak(self) -> Memory | None:
        """Peak resident memory above that at `reset_peak`; `None` where the system does not tell."""
        with suppress(OSError, ValueError, KeyError):
            if self.resident is not None:
                method = "peak RSS above the state before the first forward pass"
                most = max(self.seen, self._status()["VmHWM"])
                return Memory(max(0, most - self.resident) / MIB, method)
        return None

    @contextmanager
    def watching_peak(self) -> Iterator[None]:
        """Reads the mark again and again meanwhile: a process may reset its own; no clock may run."""
        ended = threading.Event()

        def look() -> None:
            while not ended.wait(_LOOK_S):
                with suppress(OSError, ValueError, KeyError):
                    self.seen = max(self.seen, self._status()["VmHWM"])

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _status(self) -> dict[str, int]:
        lines = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
        pairs = (line.partition(":") for line in lines if line.startswith(("VmRSS:", "VmHWM:")))
        return {name: int(value.split()[0]) * _KIB for name, _, value in pairs}

    def device_mib(self, uuid: str | None) -> float | None:
        """Memory of a GPU that the driver attributes to this process; `None` where it does not tell."""
        if uuid is None:
            return None

        def used(library: Any) -> float | None:
            running = library.nvmlDeviceGetComputeRunningProcesses(nvml.find(library, uuid))
            mine = [one.usedGpuMemory for one in running if one.pid == self.pid]
            return sum(mine) / MIB if mine and None not in mine else None

        with suppress(ImportError, AttributeError):
            return nvml.ask(used)[0]
        return None


def _core_seconds(pid: int) -> float:
    """Processor time of all threads of a process; 0 where the system does not tell."""
    with suppress(OSError, ValueError, IndexError, AttributeError):
        fields = stat_fields(Path(f"/proc/{pid}/stat"))
        return (int(fields[_USER]) + int(fields[_SYSTEM])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def _busy_seconds() -> float:
    """Core-seconds that the machine has been busy since boot, those stolen by other machines included."""
    return sum(float(value) for name, value in psutil.cpu_times()._asdict().items() if name not in _NOT_BUSY)
