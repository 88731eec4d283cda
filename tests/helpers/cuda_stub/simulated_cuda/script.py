"""The script of a simulation: the devices there are, and the time that work takes on them."""

from typing import Literal

import msgspec


class DeviceScript(msgspec.Struct, frozen=True):
    """One GPU as CUDA describes it."""

    uuid: str = "GPU-0e5a0e5a-0000-4000-8000-000000000000"
    name: str = "NVIDIA TITAN Xp"
    memory_mib: float = 12288
    """Allocations beyond it raise `torch.OutOfMemoryError`."""
    nvml_index: int = 0
    """Of the NVML stub's device whose clock this one runs at."""
    mig: tuple[str, ...] = ()
    """UUIDs of its MIG devices; CUDA then offers one of those in place of the GPU, under its UUID."""


class Script(msgspec.Struct, frozen=True):
    """A machine's GPUs, in CUDA's order, and how long work takes."""

    devices: tuple[DeviceScript, ...] = (DeviceScript(),)
    kernel_us: float = 300.0
    """Of the device for each operator that is no view, at the SM clock with which the scenario begins."""
    host_us: float = 0.0
    """Of the host for each launch."""
    launch_us: float = 5.0
    """From a launch to its earliest beginning on the device."""
    search: float = 1.0
    """Factor on the first convolution of each shape under `cudnn.benchmark`."""
    profiler: Literal["works", "silent", "refused"] = "works"
    """Whether torch's profiler gives kernels, none, or an error."""


class Visible(msgspec.Struct, frozen=True):
    """A device that CUDA offers."""

    script: DeviceScript
    uuid: str
    """Without its prefix, as torch gives it."""


def visible(devices: tuple[DeviceScript, ...], wanted: str | None) -> list[Visible]:
    """The devices that CUDA offers under CUDA_VISIBLE_DEVICES, by the rules of CUDA's programming guide.

    Args:
        devices: Those of the machine.
        wanted: The variable: indices, UUIDs or beginnings of UUIDs with commas between; `None`: unset.

    Returns:
        Those before the first word that names no device.
    """
    if wanted is None:
        return [_offered(device) for device in devices]
    found = []
    for word in wanted.split(","):
        match = [one for index, device in enumerate(devices) if (one := _named(device, index, word.strip()))]
        if not match:
            break
        found += match[:1]
    return found


def _offered(device: DeviceScript, mig: str | None = None) -> Visible:
    uuid = mig or next(iter(device.mig), device.uuid)
    return Visible(device, uuid.removeprefix("GPU-").removeprefix("MIG-"))


def _named(device: DeviceScript, index: int, word: str) -> Visible | None:
    if word.startswith("MIG-"):
        return next((_offered(device, mig) for mig in device.mig if mig.startswith(word)), None)
    if word == str(index) or (word.startswith("GPU-") and device.uuid.startswith(word)):
        return _offered(device)
    return None
