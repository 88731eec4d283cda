"""The simulated machine: its devices, and which tensor lives on which of them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch._ops import OpOverload
from torch.utils._pytree import tree_leaves

from .allocator import Allocator
from .scenario import Scenario
from .script import Script, Visible, visible
from .timeline import Timeline

Launch: TypeAlias = tuple[OpOverload, tuple[Any, ...], dict[str, Any], Any]
"""An operator with its arguments and its result."""

_NO_KERNEL = {
    "_unsafe_view",
    "empty",
    "empty_like",
    "empty_strided",
    "new_empty",
    "new_empty_strided",
    "resize_",
}
_WAITS = {"_local_scalar_dense", "item", "is_nonzero", "equal", "nonzero"}
"""Operators whose result the host needs; in inference mode `item` is one of its own."""


@dataclass
class Device:
    """One GPU: a queue, memory, and a clock that follows the scenario."""

    index: int
    visible: Visible
    scenario: Scenario
    timeline: Timeline = field(default_factory=Timeline)

    def __post_init__(self) -> None:
        self.allocator = Allocator(self.visible.script.memory_mib * 2**20)

    @property
    def torch_device(self) -> torch.device:
        """As torch names it."""
        return torch.device("cuda", self.index)

    def check(self) -> None:
        """Raises what every CUDA call raises once the GPU is lost."""
        if self.scenario.lost():
            raise RuntimeError("CUDA error: unspecified launch failure (simulated)")

    def synchronize(self) -> None:
        """Waits for the queue."""
        self.check()
        self.timeline.synchronize()


class Simulation:
    """A machine's devices and what runs on them."""

    def __init__(self, script: Script, environ: Mapping[str, str] = os.environ) -> None:
        self.script = script
        self.devices = [
            Device(index, one, Scenario(one.script.nvml_index, environ))
            for index, one in enumerate(visible(script.devices, environ.get("CUDA_VISIBLE_DEVICES")))
        ]
        self.current = 0
        self.recording: list[Launch] | None = None
        """Operators of the graph that is being captured."""
        self._searched: set[Sequence[torch.Size]] = set()
        self.profile: list[tuple[str, float]] | None = None
        """Name and nanoseconds of each kernel while a profiler runs."""

    def device(self, which: torch.device | str | int | None = None) -> Device:
        """A device as the functions of `torch.cuda` take it; `None`: the current one."""
        index = which if isinstance(which, int) else None if which is None else torch.device(which).index
        return self.devices[self.current if index is None else index]

    def holder(self, *values: object) -> Device | None:
        """The device of the first tensor that lives on one."""
        with torch._C.DisableTorchFunction():
            tensors = (one for one in values if isinstance(one, torch.Tensor) and one.device.type == "cpu")
            return next((device for one in tensors for device in self.devices if device.allocator.holds(one)), None)

    def ran(self, device: Device, launch: Launch) -> None:
        """Counts the memory of an operator's result, and queues or records its kernel."""
        func, args, _, result = launch
        with torch._C.DisableTorchFunction():
            for leaf in tree_leaves(result):
                if isinstance(leaf, torch.Tensor):
                    device.allocator.add(leaf)
        if self.recording is not None:
            if func.overloadpacket.__name__ in _WAITS:
                raise RuntimeError("CUDA error: operation not permitted when stream is capturing (simulated)")
            self.recording.append(launch)
        elif has_kernel(func):
            slower = self._search(func, args)
            host_ns, latency_ns = self.script.host_us * 1e3, self.script.launch_us * 1e3
            device.timeline.launch(self.kernel_ns(device) * slower, host_ns, latency_ns)
            self.profiled(func, self.kernel_ns(device))
        if func.overloadpacket.__name__ in _WAITS:
            device.synchronize()

    def profiled(self, func: OpOverload, kernel_ns: float) -> None:
        """Tells a running profiler of a kernel, under the name of the algorithm for convolutions."""
        if self.profile is not None:
            name = func.overloadpacket.__name__
            if name.startswith("conv"):
                name = "winograd_3x3" if torch.backends.cudnn.benchmark else "implicit_gemm"
            self.profile.append((f"simulated::{name}", kernel_ns))

    def kernel_ns(self, device: Device) -> float:
        """Duration of a kernel at the clock of this moment."""
        return self.script.kernel_us * 1e3 * device.scenario.slowdown()

    def _search(self, func: OpOverload, args: tuple[Any, ...]) -> float:
        """How much longer a convolution takes while cuDNN tries its algorithms."""
        shapes = tuple(one.shape for one in args if isinstance(one, torch.Tensor))
        if not func.overloadpacket.__name__.startswith("conv") or not torch.backends.cudnn.benchmark:
            return 1.0
        if shapes in self._searched:
            return 1.0
        self._searched.add(shapes)
        return self.script.search


def has_kernel(func: OpOverload) -> bool:
    """True if an operator does work on the device, and is no view of its input."""
    aliases = (one.alias_info for one in func._schema.returns)
    is_view = any(alias is not None and not alias.is_write for alias in aliases)
    return not is_view and func.overloadpacket.__name__ not in _NO_KERNEL
