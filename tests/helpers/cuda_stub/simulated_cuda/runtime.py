"""What stands in for `torch.cuda`."""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, TypeAlias

import msgspec
import torch
from torch.autograd import DeviceType  # type: ignore[attr-defined]
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves

from .modes import Functions, Operators
from .script import Script
from .simulation import Launch, Simulation, has_kernel
from .timeline import sleep_until

Where: TypeAlias = torch.device | str | int | None

_active: list[Simulation] = []


def simulation() -> Simulation:
    """The simulation that is installed."""
    return _active[-1]


class Event:
    """A mark in the current device's queue."""

    def __init__(self, enable_timing: bool = False, **_: object) -> None:
        self._timing = enable_timing
        self._at: int | None = None

    def record(self, stream: object = None) -> None:
        """Queues the mark."""
        simulation().device().check()
        self._at = simulation().device().timeline.mark()

    def query(self) -> bool:
        """True once everything queued before the mark has ended."""
        return self._at is None or time.perf_counter_ns() >= self._at

    def synchronize(self) -> None:
        """Waits for the mark."""
        sleep_until(self._at or 0)

    def elapsed_time(self, end: "Event") -> float:
        """Milliseconds on the device between two marks.

        Raises:
            RuntimeError: One of them is not reached yet, was never recorded, or does not take the time.
        """
        if self._at is None or end._at is None or not (self._timing and end._timing):
            raise RuntimeError("CUDA error: invalid resource handle (simulated)")
        if not (self.query() and end.query()):
            raise RuntimeError("CUDA error: device not ready (simulated)")
        return (end._at - self._at) / 1e6


class Stream:
    """A stream; whatever it is called, there is one queue for each device."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def synchronize(self) -> None:
        """Waits for the queue."""
        synchronize()

    def wait_stream(self, stream: "Stream") -> None:
        """Nothing: it is the same queue."""

    def wait_event(self, event: Event) -> None:
        """Nothing: it is the same queue."""

    def record_event(self, event: Event | None = None) -> Event:
        """Queues a mark."""
        event = event or Event()
        event.record()
        return event

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        pass


class CUDAGraph:
    """Operators that were recorded once and run again without a launch by the host for each."""

    def __init__(self) -> None:
        self.launches: list[Launch] = []

    def replay(self) -> None:
        """Queues all of it, with one launch; results go where those of the capture lie."""
        device = simulation().device()
        device.check()
        kernels = [func for func, *_ in self.launches if has_kernel(func)]
        kernel_ns = simulation().kernel_ns(device)
        device.timeline.launch(len(kernels) * kernel_ns)
        for func in kernels:
            simulation().profiled(func, kernel_ns)
        with _disable_current_modes(), torch.inference_mode():
            for func, args, kwargs, captured in self.launches:
                for old, new in zip(tree_leaves(captured), tree_leaves(func(*args, **kwargs)), strict=True):
                    if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)

    def reset(self) -> None:
        """Forgets what was recorded."""
        self.launches = []


@contextlib.contextmanager
def graph(cuda_graph: CUDAGraph, *_: object, **__: object) -> Iterator[None]:
    """Records the operators in its body, which take no time on the device."""
    simulation().recording = cuda_graph.launches
    try:
        yield
    finally:
        simulation().recording = None


def synchronize(device: Where = None) -> None:
    """Waits until the device has nothing left to do."""
    if simulation().recording is not None:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing (simulated)")
    simulation().device(device).synchronize()


class Profile:
    """Stands in for `torch.profiler.profile`, which a CPU build gives no kernels."""

    def __init__(self, activities: Sequence[Any] = (), **_: object) -> None:
        self._wanted = torch.profiler.ProfilerActivity.CUDA in activities
        self._kernels: list[tuple[str, float]] = []

    def __enter__(self) -> "Profile":
        if simulation().script.profiler == "refused":
            raise RuntimeError("CUPTI initialisation failed (simulated)")
        simulation().profile = self._kernels
        return self

    def __exit__(self, *_: object) -> None:
        simulation().profile = None

    def events(self) -> list[SimpleNamespace]:
        """Kernels in order of their launch, and what the host did meanwhile."""
        kernels = self._kernels if self._wanted and simulation().script.profiler == "works" else []
        host = ("cudaLaunchKernel", 5e3, DeviceType.CPU)
        rows = [row for name, ns in kernels for row in (host, (name, ns, DeviceType.CUDA))]
        return [
            SimpleNamespace(
                name=name,
                device_type=kind,
                is_user_annotation=False,
                time_range=SimpleNamespace(elapsed_us=lambda ns=ns: ns / 1e3),
            )
            for name, ns, kind in rows
        ]


def _properties(device: Where = None) -> SimpleNamespace:
    found = simulation().device(device).visible
    return SimpleNamespace(
        name=found.script.name,
        uuid=found.uuid,
        major=6,
        minor=1,
        total_memory=int(found.script.memory_mib * 2**20),
        multi_processor_count=30,
        is_integrated=0,
    )


def _set_device(device: Where) -> None:
    simulation().current = simulation().device(device).index


def _allocator(device: Where) -> Any:
    return simulation().device(device).allocator


_CUDA: dict[str, Any] = {
    "is_available": lambda: bool(simulation().devices),
    "is_initialized": lambda: True,
    "init": lambda: None,
    "device_count": lambda: len(simulation().devices),
    "current_device": lambda: simulation().current,
    "set_device": _set_device,
    "synchronize": synchronize,
    "get_device_properties": _properties,
    "get_device_name": lambda device=None: _properties(device).name,
    "get_device_capability": lambda device=None: (6, 1),
    "get_arch_list": lambda: ["sm_60", "sm_70", "sm_90"],
    "empty_cache": lambda: _allocator(None).empty_cache(),
    "reset_peak_memory_stats": lambda device=None: _allocator(device).reset_peaks(),
    "memory_allocated": lambda device=None: _allocator(device).allocated,
    "max_memory_allocated": lambda device=None: _allocator(device).peak,
    "memory_reserved": lambda device=None: _allocator(device).reserved,
    "max_memory_reserved": lambda device=None: _allocator(device).peak_reserved,
    "Event": Event,
    "Stream": Stream,
    "CUDAGraph": CUDAGraph,
    "graph": graph,
    "current_stream": lambda device=None: Stream(),
    "default_stream": lambda device=None: Stream(),
    "stream": lambda stream: stream or contextlib.nullcontext(),
    "manual_seed_all": lambda seed: None,
}
"""Name in `torch.cuda` -> what stands in for it."""

_tolist = torch.Tensor.tolist
_ELSEWHERE: tuple[tuple[Any, str, Any], ...] = (
    (torch.version, "cuda", "12.6"),
    (torch.backends.cudnn, "is_available", lambda: True),
    (torch.backends.cudnn, "version", lambda: 90501),
    (torch.profiler, "profile", Profile),
    (torch.nn.Module, "cuda", lambda self, device=None: self.to(simulation().device(device).torch_device)),
    (torch.Tensor, "cuda", lambda self, device=None: self.to(simulation().device(device).torch_device)),
    (torch.Tensor, "tolist", lambda self: _tolist(self.cpu())),
)


@contextlib.contextmanager
def simulated(script: Script, environ: dict[str, str] | None = None) -> Iterator[Simulation]:
    """Gives this thread's torch the devices of a script.

    Args:
        script: The devices.
        environ: Names the visible devices and the NVML stub's scenario; `None`: this process's environment.
    """
    made = Simulation(script, os.environ if environ is None else environ)
    replaced = [*((torch.cuda, name, value) for name, value in _CUDA.items()), *_ELSEWHERE]
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced]
    for owner, name, value in replaced:
        setattr(owner, name, value)
    _active.append(made)
    try:
        with Functions(made), Operators(made):
            yield made
    finally:
        _active.remove(made)
        for owner, name, value in before:
            setattr(owner, name, value)


_installed = contextlib.ExitStack()
"""Keeps the simulation of a process: a mode ends when nothing refers to it."""


def install() -> None:
    """Gives this process's torch, in its main thread, the devices of the script in CUDA_STUB."""
    script = msgspec.json.decode(os.environ["CUDA_STUB"], type=Script)
    _installed.enter_context(simulated(script))
