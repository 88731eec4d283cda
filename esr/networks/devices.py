"""CPU and CUDA behind one small interface: clock, memory, cuDNN switches.

The only place that touches `torch.cuda`. Used inside a worker, where one network lives.
"""

import ctypes
import gc
import operator
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import torch

from esr.errors import DeviceError

Result = TypeVar("Result")
MIB = 1024.0 * 1024.0

_OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")
"""How torch's allocators word it, which on the CPU raise a plain RuntimeError."""

_MALLOC_THRESHOLDS = (-1, -3)
"""glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD, of mallopt(3)."""
_KEPT_BYTES = 2**30

_KERNELS_KEPT = 1024
"""What oneDNN keeps at most by default (ONEDNN_PRIMITIVE_CACHE_CAPACITY), the least recently used going first."""

_FLOAT32_BACKENDS = ("mkldnn.conv", "mkldnn.matmul", "cudnn.conv", "cuda.matmul")
"""Below `torch.backends`: where torch 2.9 and later keep in which precision they multiply float32."""


@dataclass(frozen=True)
class Duration:
    """How long one forward pass took."""

    device_ms: float
    """Milliseconds between two CUDA events around the pass; on the CPU the wall clock."""
    wall_ms: float
    """Milliseconds of wall clock from idle device to idle device."""


class Device(ABC):
    """What measuring needs of a device."""

    torch_device: torch.device

    @abstractmethod
    def timed(self, run: Callable[[], Result]) -> tuple[Result, Duration]:
        """Runs once from an idle device to an idle device and says how long it took."""

    @abstractmethod
    def reset_memory(self) -> None:
        """Starts a new measurement of peak memory."""

    @abstractmethod
    def peak_memory(self) -> dict[str, float | str]:
        """Peak since `reset_memory`: `mib`, and `method` that says what was counted."""

    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """What the device is, for the record."""

    def renew_kernels(self) -> bool:
        """Drops the kernels that were made for the passes so far, where that can be done; whether it was."""
        return False


class CpuDevice(Device):
    """The processor; memory is what the process holds resident."""

    def __init__(self) -> None:
        self.torch_device = torch.device("cpu")
        self._start = 0

    def timed(self, run: Callable[[], Result]) -> tuple[Result, Duration]:
        """See `Device`; on the CPU a call returns when its work is done."""
        start = time.perf_counter_ns()
        result = run()
        elapsed = (time.perf_counter_ns() - start) / 1e6
        return result, Duration(elapsed, elapsed)

    def reset_memory(self) -> None:
        """Sets the kernel's high-water mark back to what is resident now, where the kernel lets us."""
        gc.collect()
        _release_free_heap()
        self._resettable = _reset_high_water_mark()
        self._start = psutil.Process().memory_info().rss

    def peak_memory(self) -> dict[str, float | str]:
        """Resident bytes at the peak, above what was resident at `reset_memory`."""
        peak = _high_water_mark()
        method = "peak RSS above the state before the first forward pass"
        if not self._resettable:
            method += " (process peak: the kernel's mark could not be reset)"
        return {"mib": max(0, peak - self._start) / MIB, "method": method}

    def fingerprint(self) -> dict[str, Any]:
        """Kind alone; the processor is described by `esr.system.environment`."""
        return {"kind": "cpu"}

    def renew_kernels(self) -> bool:
        """Pushes all of them out of oneDNN's cache, which torch gives no access to, by as many reorders of few numbers.

        One that is compiled anew for the same convolution and threads may run a tenth faster or slower, for as long as
        it is kept.
        """
        if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            return False
        for length in range(1, _KERNELS_KEPT + 1):
            torch.zeros(1, length, dtype=torch.float32).to_mkldnn()
        return True


class CudaDevice(Device):
    """One NVIDIA GPU; memory is what torch's allocator handed out."""

    def __init__(self, index: int) -> None:
        self.torch_device = torch.device("cuda", index)
        torch.cuda.set_device(self.torch_device)

    def timed(self, run: Callable[[], Result]) -> tuple[Result, Duration]:
        """CUDA events on the current stream, and the wall clock; every stream is waited for."""
        begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        torch.cuda.synchronize(self.torch_device)
        start = time.perf_counter_ns()
        begin.record()
        result = run()
        end.record()
        torch.cuda.synchronize(self.torch_device)
        wall = (time.perf_counter_ns() - start) / 1e6
        return result, Duration(begin.elapsed_time(end), wall)

    def reset_memory(self) -> None:
        """Gives cached blocks back and resets the allocator's peaks."""
        gc.collect()
        torch.cuda.synchronize(self.torch_device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.torch_device)

    def peak_memory(self) -> dict[str, float | str]:
        """Peak of allocated bytes, as the challenge prints, and of reserved bytes."""
        torch.cuda.synchronize(self.torch_device)
        return {
            "mib": torch.cuda.max_memory_allocated(self.torch_device) / MIB,
            "reserved_mib": torch.cuda.max_memory_reserved(self.torch_device) / MIB,
            "method": "CUDA allocator, max_memory_allocated",
        }

    def fingerprint(self) -> dict[str, Any]:
        """Name, UUID, compute capability and memory."""
        properties = torch.cuda.get_device_properties(self.torch_device)
        return {
            "kind": "cuda",
            "name": properties.name,
            "uuid": str(getattr(properties, "uuid", "")) or None,
            "compute_capability": f"{properties.major}.{properties.minor}",
            "memory_mib": properties.total_memory / MIB,
            "multiprocessors": properties.multi_processor_count,
        }


def open_device(kind: str, index: int = 0) -> Device:
    """The device for `auto`, `cuda` or `cpu`.

    Raises:
        DeviceError: CUDA was asked for and is not there, or has no GPU of that index.
    """
    if kind == "cpu" or (kind == "auto" and not torch.cuda.is_available()):
        return CpuDevice()
    if not torch.cuda.is_available():
        reason = "this torch is a CPU build" if torch.version.cuda is None else "torch sees no usable GPU"
        raise DeviceError(
            f"device=cuda: {reason}; use device=cpu, or a CUDA build of torch and a driver that fits it"
        )
    count = torch.cuda.device_count()
    if index >= count:
        raise DeviceError(f"device.index={index}: {count} GPU(s) visible, so 0 to {count - 1}")
    return CudaDevice(index)


def apply_switches(*, benchmark: bool, deterministic: bool, allow_tf32: bool) -> dict[str, bool]:
    """Sets cuDNN's and TF32's switches and reads them back.

    Returns:
        The values torch reports after setting them; on a build without cuDNN they have no effect.
    """
    torch.backends.cudnn.benchmark = benchmark
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.allow_tf32 = allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allow_tf32
    return read_switches()


def read_switches() -> dict[str, bool]:
    """The switches of cuDNN and TF32 as torch reports them now."""
    return {
        "benchmark": torch.backends.cudnn.benchmark,
        "deterministic": torch.backends.cudnn.deterministic,
        "allow_tf32": _allows_tf32(),
        "available": torch.backends.cudnn.is_available(),  # type: ignore[no-untyped-call]
    }


def _allows_tf32() -> bool:
    try:
        return torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32
    except RuntimeError:  # torch's newer settings allow it for some operators, and this question is refused
        return True


def read_settings() -> dict[str, Any]:
    """What a network might change for its own good: the switches, the precision of float32, threads, CPUs, priority.

    Returns:
        `fp32_precision` names the backends that compute float32 in less than that, as `mkldnn.conv=bf16`.
    """
    return {
        **read_switches(),
        "fp32_precision": _lowered_float32(),
        "threads": torch.get_num_threads(),
        "cpus": bound_cpus(),
        "priority": os.getpriority(os.PRIO_PROCESS, 0) if hasattr(os, "getpriority") else None,
    }


def _lowered_float32() -> str | None:
    lowered = []
    for name in _FLOAT32_BACKENDS:
        try:
            precision = operator.attrgetter(f"{name}.fp32_precision")(torch.backends)
        except AttributeError:  # torch before 2.9 has no such settings
            continue
        if precision not in ("none", "ieee"):
            lowered.append(f"{name}={precision}")
    return ", ".join(lowered) or None


def set_threads(threads: int | None, cpus: Sequence[int] | None = None) -> int:
    """Binds this process to logical CPUs and sets the threads inside an operator; reads their number back.

    Args:
        threads: None: one for each of `cpus`, or torch's own choice.
        cpus: None: every CPU that the process may use.

    Raises:
        DeviceError: More threads than the machine has CPUs; a CPU does not exist, is not allowed here, or the system
            cannot bind processes.
    """
    if threads is not None and threads > (most := os.cpu_count() or threads):
        raise DeviceError(
            f"device.threads={threads}: this machine has {most} logical CPUs; take at most as many"
        )
    if cpus is not None:
        _bind(cpus)
    if threads is not None or cpus is not None:
        torch.set_num_threads(threads or len(set(cpus or ())))
    return torch.get_num_threads()


def _bind(cpus: Sequence[int]) -> None:
    if not hasattr(os, "sched_setaffinity"):
        raise DeviceError(
            f"device.cpus={list(cpus)}: this system cannot bind processes to CPUs; leave it out"
        )
    allowed = sorted(os.sched_getaffinity(0))
    if not cpus or set(cpus) - set(allowed):
        raise DeviceError(
            f"device.cpus={list(cpus)}: choose from {', '.join(map(str, allowed))}, which this process may use"
        )
    # Threads that exist already keep their own mask: torch's importing started some.
    for thread in psutil.Process().threads():
        os.sched_setaffinity(thread.id, cpus)
    os.sched_setaffinity(0, cpus)


def bound_cpus() -> list[int] | None:
    """The logical CPUs on which this process may run; none where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception from torch says that memory ran out, on any device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _OUT_OF_MEMORY)


def _reset_high_water_mark() -> bool:
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _high_water_mark() -> int:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        return psutil.Process().memory_info().rss


def _release_free_heap() -> None:
    # Freed blocks that malloc keeps would hide as many bytes of the peak.
    if trim := _of_libc("malloc_trim"):
        trim(0)


def keep_freed_memory() -> bool:
    """Has glibc keep in hand what is freed, as torch's allocator for CUDA does; whether it could be told so.

    Else a pass may give its memory back to the system and fault it in again, or not: that is up to the layout of the
    heap, differs from process to process, and can be a third of the time of a pass.
    """
    set_option = _of_libc("mallopt")
    return set_option is not None and all(set_option(one, _KEPT_BYTES) for one in _MALLOC_THRESHOLDS)


def _of_libc(function: str) -> Callable[..., int] | None:
    """A function of the C library; none where it has no such one, as glibc's own elsewhere."""
    return getattr(ctypes.CDLL(None), function, None) if os.name == "posix" else None
