"""Simulated CUDA devices on a CPU build of torch: `device="cuda"` works, and takes the time that a script says.

Tensors live in main memory, and operators run there at once. The timeline of a device is simulated: each operator takes
its time there, begins no earlier than the host has launched it and the operator before it has ended, and returns to the
host before that. So a clock that does not synchronise reads too little, and events that are asked too early raise, as
CUDA's do. Memory is counted from the tensors that live on a device. The SM clock, and whether the GPU is still there,
follow the NVML stub's scenario, so that durations and telemetry agree. Torch's profiler gives each operator as a
kernel, convolutions under the name of their algorithm.

Not simulated: several streams, operators called from another thread than the one that imported torch, autograd, random
numbers of the device, and everything compiled.
"""

from .runtime import install, simulated
from .script import DeviceScript, Script

__all__ = ["DeviceScript", "Script", "install", "simulated"]
