"""What the checks look at: gathered once, as plain values, so that a check needs no machine to be tested on."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

from esr.config import cards
from esr.records.document import Driver
from esr.system import cgroups, nvml
from esr.telemetry import environment
from esr.zoo import weights as zoo

BASELINE = "imdn"
TORCH_S = 180
"""Seconds for torch to load from a cold disk."""
BUILD_TOOLS = ("pip", "gcc", "cc", "g++", "make")


@dataclass(frozen=True)
class GpuState:
    """One GPU as NVML tells it; none where the driver did not say."""

    index: int
    name: str | None = None
    uuid: str | None = None
    sm_mhz: float | None = None
    max_sm_mhz: float | None = None
    reasons: int | None = None
    """The bits that hold the clocks back."""
    power_limit_w: float | None = None
    default_power_limit_w: float | None = None
    persistence: bool | None = None
    processes: tuple[int, ...] | None = None
    """PIDs on the host that compute on it."""
    gone: str | None = None
    """Why it no longer answers; none while it does."""


@dataclass(frozen=True)
class TorchState:
    """What `torch_probe` found; `error` says why torch sees no GPU, `broken` why it did not even load."""

    version: str | None = None
    cuda: str | None = None
    kernels: tuple[str, ...] = ()
    count: int = 0
    gpu: Mapping[str, Any] | None = None
    error: str | None = None
    broken: str | None = None


@dataclass(frozen=True)
class State:
    """A machine, or a container, as `esr` will meet it."""

    torch: TorchState = TorchState()
    driver: Driver = Driver(None, None, None)
    """As in a record's fingerprint."""
    gpus: tuple[GpuState, ...] = ()
    index: int = 0
    """Which of the GPUs that torch sees is to be measured."""
    device_files: tuple[str, ...] = ()
    """`/dev/nvidia0` and its like: a GPU was given to this machine or container."""
    container: str | None = None
    out: str = "."
    out_error: str | None = None
    """Why results cannot be written; none where they can."""
    weights_here: int = 0
    """Networks whose published weights lie in a zoo folder."""
    weights_all: int = 0
    baseline_here: bool = False
    baseline_bundled: bool = False
    memory_bytes: int = 0
    """What may be held: the machine's, or less where a control group says so."""
    memory_limited: bool = False
    cores: int = 1
    cpu_limit: float | None = None
    uid: int = 0
    build_tools: tuple[str, ...] = ()


def gather(out: str, index: int = 0) -> State:
    """Looks at everything; takes seconds, most of them torch's import.

    Args:
        out: The folder for results.
        index: Which of the visible GPUs is to be measured.
    """
    gpus = _gpus()  # before torch opens a context of its own there
    memory = psutil.virtual_memory().total
    limit = cgroups.memory_limit()
    here, every = _published()
    return State(
        torch=_torch(index),
        index=index,
        driver=environment.driver(),
        gpus=gpus,
        device_files=tuple(sorted(str(path) for path in Path("/dev").glob("nvidia[0-9]*"))),
        container=environment.container(),
        out=out,
        out_error=_writing_fault(Path(out)),
        weights_here=len(here),
        weights_all=len(every),
        baseline_here=BASELINE in here,
        baseline_bundled=(zoo.SHIPPED / f"{BASELINE}.safetensors").is_file(),
        memory_bytes=min(memory, limit or memory),
        memory_limited=limit is not None and limit < memory,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        cpu_limit=cgroups.cpu_limit(),
        uid=os.getuid(),
        build_tools=tuple(tool for tool in BUILD_TOOLS if shutil.which(tool)),
    )


def _torch(index: int) -> TorchState:
    command = [sys.executable, "-m", "esr.doctor.torch_probe", str(index)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=TORCH_S, check=False)
    except subprocess.TimeoutExpired:
        return TorchState(broken=f"it had not loaded after {TORCH_S} s")
    try:
        found = json.loads(run.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        words = run.stderr.strip().splitlines()
        return TorchState(broken=words[-1] if words else f"its process ended with exit code {run.returncode}")
    return TorchState(**{**found, "kernels": tuple(found["kernels"])})


def _gpus() -> tuple[GpuState, ...]:
    count = _asked(lambda nvml: nvml.nvmlDeviceGetCount())
    return tuple(_gpu(index) for index in range(int(count or 0)))


def _asked(question: Callable[[Any], float]) -> float | None:
    """What NVML answers to one question; none where it does not."""
    import pynvml  # noqa: PLC0415 - only a machine with a driver gains from it

    try:
        pynvml.nvmlInit()
        try:
            return question(pynvml)
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        return None


def _default_power_limit_w(index: int) -> float | None:
    return _asked(
        lambda nvml: (
            nvml.nvmlDeviceGetPowerManagementDefaultLimit(nvml.nvmlDeviceGetHandleByIndex(index)) / 1000
        )
    )


def _gpu(index: int) -> GpuState:
    gpu = nvml.Gpu(index)
    try:
        fixed, moving = gpu.slow(), gpu.timed()
        reasons = moving.get("gpu_reasons")
        processes = fixed["processes"]
        return GpuState(
            index=index,
            name=fixed["name"],
            uuid=fixed["uuid"],
            sm_mhz=moving.get("gpu_sm_mhz"),
            max_sm_mhz=fixed["max_sm_mhz"],
            reasons=None if reasons is None else int(reasons),
            power_limit_w=fixed["power_limit_w"],
            default_power_limit_w=_default_power_limit_w(index),
            persistence=fixed["persistence_mode"],
            processes=None if processes is None else tuple(processes),
            gone=gpu.gone,
        )
    finally:
        gpu.close()


def _published() -> tuple[set[str], list[str]]:
    """The networks whose published file lies in a zoo folder and can be read, and all that have one."""
    here, every = set(), []
    for name in cards.model_names():
        model = yaml.safe_load((cards.folder() / f"{name}.yaml").read_text(encoding="utf-8"))
        if file := (model.get("checkpoint") or {}).get("file"):
            every.append(name)
            if any(os.access(folder / file, os.R_OK) for folder in zoo.zoo_folders()):
                here.add(name)
    return here, every


def _writing_fault(folder: Path) -> str | None:
    """Why nothing can be written there, having tried; what does not exist yet is judged by where it would be made."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            return None
    except OSError as error:
        return error.strerror or str(error)
