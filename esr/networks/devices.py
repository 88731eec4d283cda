"""CPU and CUDA behind one small interface: clock, memory, cuDNN switches, threads.

An evaluation uses `torch.cuda` through this module only, inside a worker.
"""

import ctypes
import gc
import operator
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec
import numpy as np
import psutil
import torch
from torch.autograd import DeviceType  # type: ignore[attr-defined]

from esr.errors import DeviceError
from esr.records.network import LONGEST_KERNEL, MOST_KERNELS, Cudnn, Device, Kernel, Memory, SettingValue
from esr.text import one_line
from esr.timing.samples import Duration

Result = TypeVar("Result")
MIB = 1024.0 * 1024.0

_OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")
"""In the messages of torch's allocators; the CPU's raises a plain RuntimeError."""

_MALLOC_THRESHOLDS = (-1, -3)
"""glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD, of mallopt(3)."""
_KEPT_BYTES = 2**30

_PASSES_BEFORE_CAPTURE = 3

_KERNELS_KEPT = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
"""Environment variable that oneDNN reads before it compiles the first kernel."""
_KERNELS_BY_DEFAULT = 1024

_PRODUCT_SIDES, _PRODUCTS, _LONG_S = (512, 1024, 2048, 4096, 8192), 4, 0.01
"""Sides of the matrices whose product tells the rate of multiplications, repetitions, and seconds that are enough."""

_DENORMAL = 1e-40
_FLOAT32_BACKENDS = ("mkldnn.conv", "mkldnn.matmul", "cudnn.conv", "cuda.matmul")
"""Below `torch.backends`: settings of torch 2.9 and later for the precision in which float32 is multiplied."""


class CpuDevice:
    """The processor; memory is the process's resident set."""

    def __init__(self) -> None:
        self.torch_device = torch.device("cpu")
        self._start = 0

    def timed(self, run: Callable[[], Result]) -> tuple[Result, Duration]:
        """Runs once; the result and its duration. On the CPU a call returns when its work is done."""
        start = time.perf_counter_ns()
        result = run()
        elapsed = (time.perf_counter_ns() - start) / 1e6
        return result, Duration(elapsed, elapsed)

    def reset_memory(self) -> None:
        """Resets the kernel's high-water mark to the memory resident now, where permitted."""
        gc.collect()
        if trim := _of_libc("malloc_trim"):
            trim(0)  # freed blocks kept by malloc would hide as many bytes of the peak
        self._resettable = False
        with suppress(OSError):
            self._resettable = Path("/proc/self/clear_refs").write_text("5") > 0
        self._start = psutil.Process().memory_info().rss

    def peak_memory(self) -> Memory:
        """Peak resident memory above that at `reset_memory`."""
        peak = _high_water_mark()
        method = "peak RSS above the state before the first forward pass"
        if not self._resettable:
            method += " (process peak: the kernel's mark could not be reset)"
        return Memory(max(0, peak - self._start) / MIB, method)

    def fingerprint(self) -> Device:
        """The kind alone; `esr.telemetry.environment` describes the processor."""
        return Device("cpu")

    def kernels(self, _: Callable[[], object]) -> tuple[Kernel, ...] | None:
        """`None`: operators of the CPU do not tell the algorithm that they chose."""
        return None

    def renew_kernels(self) -> bool:
        """Drops the compiled kernels; False where that is not possible.

        Reorders of a few numbers evict all from oneDNN's cache, to which torch gives no access. A kernel recompiled for
        the same convolution and threads may run a tenth faster or slower for as long as it is cached.
        """
        if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            return False
        for length in range(1, int(os.environ.get(_KERNELS_KEPT, _KERNELS_BY_DEFAULT)) + 1):
            torch.zeros(1, length, dtype=torch.float32).to_mkldnn()
        return True


class CudaGraph:
    """A pass over inputs of one shape, captured once and replayed without the host's launches."""

    def __init__(self, run: Callable[[torch.Tensor], torch.Tensor], lr: torch.Tensor) -> None:
        """Captures a pass, after a few passes on another stream, as torch's documentation asks for.

        Raises:
            RuntimeError: It does what no capture allows, such as waiting for a result.
        """
        self._input = lr.clone()
        current, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(_PASSES_BEFORE_CAPTURE):
                run(self._input)
        current.wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = run(self._input)

    def load(self, lr: torch.Tensor) -> None:
        """Puts the next input where the graph reads it."""
        self._input.copy_(lr)

    def replay(self) -> torch.Tensor:
        """Launches the pass; the output is overwritten by the next one."""
        self._graph.replay()
        return self._output


class CudaDevice:
    """One NVIDIA GPU; memory is that allocated by torch's allocator."""

    def __init__(self, index: int) -> None:
        self.torch_device = torch.device("cuda", index)
        torch.cuda.set_device(self.torch_device)

    def timed(self, run: Callable[[], Result]) -> tuple[Result, Duration]:
        """Runs once, from an idle device to an idle device; the result and its duration.

        CUDA events on the current stream, and the wall clock; waits for every stream.
        """
        begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        torch.cuda.synchronize(self.torch_device)
        start = time.perf_counter_ns()
        begin.record()
        result = run()
        end.record()
        enqueue = (time.perf_counter_ns() - start) / 1e6
        torch.cuda.synchronize(self.torch_device)
        wall = (time.perf_counter_ns() - start) / 1e6
        return result, Duration(begin.elapsed_time(end), wall, enqueue)

    def reset_memory(self) -> None:
        """Releases cached blocks and resets the allocator's peaks."""
        gc.collect()
        torch.cuda.synchronize(self.torch_device)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.torch_device)

    def peak_memory(self) -> Memory:
        """Peaks of allocated memory, which the challenge reports, and of reserved memory."""
        torch.cuda.synchronize(self.torch_device)
        return Memory(
            memory_mib=torch.cuda.max_memory_allocated(self.torch_device) / MIB,
            reserved_mib=torch.cuda.max_memory_reserved(self.torch_device) / MIB,
            method="CUDA allocator, max_memory_allocated",
        )

    def fingerprint(self) -> Device:
        """Name, UUID, compute capability, memory and multiprocessors."""
        properties = torch.cuda.get_device_properties(self.torch_device)
        return Device(
            kind="cuda",
            name=properties.name,
            uuid=str(getattr(properties, "uuid", "")) or None,
            compute_capability=f"{properties.major}.{properties.minor}",
            memory_mib=properties.total_memory / MIB,
            multiprocessors=properties.multi_processor_count,
        )

    def renew_kernels(self) -> bool:
        """False: kernels cannot be dropped here."""
        return False

    def kernels(self, run: Callable[[], object]) -> tuple[Kernel, ...] | None:
        """Kernels of one pass, by torch's profiler, the longest first; `None` where it tells nothing.

        Copies and fills of memory count as kernels. The profiler slows down what follows: only after the last timing.
        """
        try:
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiled:
                run()
                torch.cuda.synchronize(self.torch_device)
            events = profiled.events() or ()
        except Exception:  # no pass counts: a driver that refuses profiling must not end what was measured
            return None
        took: dict[str, list[float]] = {}
        for event in events:
            if event.device_type == DeviceType.CUDA and not getattr(event, "is_user_annotation", False):
                took.setdefault(one_line(event.name)[:LONGEST_KERNEL], []).append(event.time_range.elapsed_us())
        total = sum(map(sum, took.values()))
        if not total:
            return None
        longest = sorted(took.items(), key=lambda one: -sum(one[1]))[:MOST_KERNELS]
        return tuple(Kernel(name, len(times), sum(times) / total) for name, times in longest)


ComputeDevice: TypeAlias = CpuDevice | CudaDevice


def multiply_rate(device: ComputeDevice) -> float:
    """Multiply-accumulates per second in the product of two square matrices, by the fastest type and size.

    On a CPU in float32, which networks of another type are not compared with, and by the processor time of all threads,
    which other processes hardly change; on a GPU in float16, too.
    """
    if isinstance(device, CpuDevice):
        return _rate_in(torch.float32, device, _processor_seconds)
    types = (torch.float32, torch.float16)
    return max(_rate_in(one, device, lambda run: device.timed(run)[1].ms / 1000) for one in types)


def _processor_seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return (time.process_time() - start) / torch.get_num_threads()


def _rate_in(dtype: torch.dtype, device: ComputeDevice, seconds: Callable[[Callable[[], object]], float]) -> float:
    best = 0.0
    for side in _PRODUCT_SIDES:
        factor = torch.ones(side, side, dtype=dtype, device=device.torch_device)
        product = partial(torch.mm, factor, factor)
        seconds(product)  # may load a library
        start = time.perf_counter()
        took = [seconds(product) for _ in range(_PRODUCTS)]
        best = max(best, side**3 / max(min(took), 1e-9))
        if time.perf_counter() - start > _LONG_S:  # a larger one takes eight times as long, and is hardly faster
            break
    return best


def open_device(kind: str, index: int = 0) -> ComputeDevice:
    """The device for `auto`, `cuda` or `cpu`.

    Raises:
        DeviceError: CUDA was requested but is not available, or has no GPU of that index.
    """
    if kind == "cpu" or (kind == "auto" and not torch.cuda.is_available()):
        return CpuDevice()
    if not torch.cuda.is_available():
        reason = "this torch is a CPU build" if torch.version.cuda is None else "torch sees no usable GPU"
        raise DeviceError(f"device=cuda: {reason}; use device=cpu, or a CUDA build of torch and a driver that fits it")
    count = torch.cuda.device_count()
    if index >= count:
        raise DeviceError(f"device.index={index}: {count} GPU(s) visible, so 0 to {count - 1}")
    return CudaDevice(index)


def apply_switches(*, benchmark: bool, deterministic: bool, allow_tf32: bool) -> Cudnn:
    """Sets the switches of cuDNN and TF32, and reads them back; without cuDNN they have no effect."""
    torch.backends.cudnn.benchmark = benchmark
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.allow_tf32 = allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allow_tf32
    return read_switches()


def read_switches() -> Cudnn:
    """The switches of cuDNN and TF32 as torch reports them now."""
    return Cudnn(
        benchmark=torch.backends.cudnn.benchmark,
        deterministic=torch.backends.cudnn.deterministic,
        allow_tf32=_allows_tf32(),
        available=torch.backends.cudnn.is_available(),  # type: ignore[no-untyped-call]
    )


def _allows_tf32() -> bool:
    try:
        return torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32
    except RuntimeError:  # set per operator by newer settings of torch, which then refuses to answer
        return True


def read_settings() -> dict[str, SettingValue]:
    """Settings a network could change in its favour: switches, precision of float32, threads, CPUs, priority.

    Returns:
        `fp32_precision` names the backends that compute float32 in a lower precision, as `mkldnn.conv=bf16`.
    """
    return {
        **msgspec.structs.asdict(read_switches()),
        "fp32_precision": _lowered_float32(),
        "flush_denormal": bool(np.float32(_DENORMAL) * np.float32(1) == 0),
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


def keep_kernels(number: int) -> None:
    """Sets how many compiled kernels oneDNN keeps: so many have to be replaced where all are to be dropped."""
    os.environ[_KERNELS_KEPT] = str(number)


def set_threads(threads: int | None, cpus: Sequence[int] | None = None) -> int:
    """Binds this process to logical CPUs and sets the threads inside an operator.

    Args:
        threads: `None`: one for each of `cpus`, or torch's own choice.
        cpus: `None`: every CPU that the process may use.

    Returns:
        Threads inside an operator, as torch reports them.

    Raises:
        DeviceError: More threads than the machine has CPUs; a CPU that does not exist or is not allowed; or a system
            that cannot bind processes.
    """
    if threads is not None and threads > (most := os.cpu_count() or threads):
        raise DeviceError(f"device.threads={threads}: this machine has {most} logical CPUs; take at most as many")
    if cpus is not None:
        _bind(cpus)
    if threads is not None or cpus is not None:
        torch.set_num_threads(threads or len(set(cpus or ())))
    return torch.get_num_threads()


def _bind(cpus: Sequence[int]) -> None:
    if not hasattr(os, "sched_setaffinity"):
        raise DeviceError(f"device.cpus={list(cpus)}: this system cannot bind processes to CPUs; leave it out")
    allowed = sorted(os.sched_getaffinity(0))
    if not cpus or set(cpus) - set(allowed):
        choice = ", ".join(map(str, allowed))
        raise DeviceError(f"device.cpus={list(cpus)}: choose from {choice}, which this process may use")
    # Existing threads keep their own mask: importing torch started some.
    for thread in psutil.Process().threads():
        os.sched_setaffinity(thread.id, cpus)
    os.sched_setaffinity(0, cpus)


def bound_cpus() -> tuple[int, ...] | None:
    """Logical CPUs on which this process may run; `None` where the system does not tell."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else None


def is_out_of_memory(error: BaseException) -> bool:
    """True if an exception from torch says that memory ran out, on any device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _OUT_OF_MEMORY)


def _high_water_mark() -> int:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        return psutil.Process().memory_info().rss


def keep_freed_memory() -> bool:
    """Makes glibc keep freed memory, as torch's CUDA allocator does; False where that is not possible.

    Otherwise a pass may return its memory to the system and fault it in again, or not: that depends on the heap's
    layout, differs from process to process, and can take a third of the time of a pass.
    """
    set_option = _of_libc("mallopt")
    return set_option is not None and all(set_option(one, _KEPT_BYTES) for one in _MALLOC_THRESHOLDS)


def _of_libc(function: str) -> Callable[..., int] | None:
    """A function of the C library; `None` where it has none of that name."""
    return getattr(ctypes.CDLL(None), function, None) if os.name == "posix" else None
