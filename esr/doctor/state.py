"""State of a machine or container, gathered once as plain values, so that checks can be tested on any machine."""

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil

from esr.config import cards
from esr.doctor.torch_probe import TorchState
from esr.records.document import Driver
from esr.sandbox import process
from esr.sandbox.process import Held
from esr.system import cgroups, nvml
from esr.telemetry import environment
from esr.zoo import weights as zoo
from esr.zoo.catalogue import checkpoint_of

BASELINE = "imdn"
TORCH_S = 180
"""Seconds for torch to load from a cold disk."""
LOAD_S = 1.0
"""Seconds over which the host's load is measured."""
BUILD_TOOLS = ("pip", "gcc", "cc", "g++", "make")


@dataclass(frozen=True)
class GpuCondition:
    """Condition of one GPU by NVML; `None` where the driver does not report a value."""

    index: int
    name: str | None = None
    uuid: str | None = None
    sm_mhz: float | None = None
    max_sm_mhz: float | None = None
    reasons: int | None = None
    """NVML's bits for what holds the clocks back."""
    power_limit_w: float | None = None
    default_power_limit_w: float | None = None
    persistence: bool | None = None
    processes: tuple[int, ...] | None = None
    """PIDs of compute processes, as the host numbers them."""
    gone: str | None = None
    """Error with which it stopped answering; `None` while it answers."""


@dataclass(frozen=True)
class State:
    """State of a machine or container."""

    torch: TorchState
    driver: Driver
    gpus: tuple[GpuCondition, ...] = ()
    index: int = 0
    """Index, among the GPUs that torch sees, of the one to measure."""
    device_files: tuple[str, ...] = ()
    """`/dev/nvidia0` and so on: a GPU is assigned to this machine or container."""
    container: str | None = None
    out: str = "."
    out_error: str | None = None
    """Error of writing results; `None` if they can be written."""
    weights_here: int = 0
    """Networks whose published weights are in a zoo folder."""
    weights_all: int = 0
    baseline_here: bool = False
    baseline_bundled: bool = False
    memory_bytes: int = 0
    """Memory of the machine, or the control group's limit if that is lower."""
    memory_limited: bool = False
    cores: int = 1
    host_load: float | None = None
    """Fraction of all cores that other processes keep busy; `None`: not measured."""
    cpu_limit: float | None = None
    uid: int = 0
    build_tools: tuple[str, ...] = ()
    sandbox: Held = field(default_factory=Held)


def gather(out: str, index: int = 0) -> State:
    """Gathers everything; takes seconds, mostly for torch's import.

    Args:
        out: Folder for results.
        index: Index of the visible GPU to measure.
    """
    load = psutil.cpu_percent(interval=LOAD_S) / 100  # before this process starts others
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
        host_load=load,
        cpu_limit=cgroups.cpu_limit(),
        uid=os.getuid(),
        build_tools=tuple(tool for tool in BUILD_TOOLS if shutil.which(tool)),
        sandbox=process.probe(),
    )


def _torch(index: int) -> TorchState:
    command = [sys.executable, "-m", "esr.doctor.torch_probe", str(index)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=TORCH_S, check=False)
    except subprocess.TimeoutExpired:
        return TorchState(broken=f"it did not load within {TORCH_S} s")
    try:
        return msgspec.json.decode(run.stdout.strip().splitlines()[-1], type=TorchState)
    except (IndexError, msgspec.DecodeError):
        lines = run.stderr.strip().splitlines()
        return TorchState(broken=lines[-1] if lines else f"its process ended with exit code {run.returncode}")


def _gpus() -> tuple[GpuCondition, ...]:
    count, _ = nvml.ask(lambda api: int(api.nvmlDeviceGetCount()))
    return tuple(_gpu(index) for index in range(count or 0))


def _gpu(index: int) -> GpuCondition:
    default_w, _ = nvml.ask(lambda api: api.nvmlDeviceGetPowerManagementDefaultLimit(nvml.find(api, index)) / 1000)
    with closing(nvml.Gpu(index)) as gpu:
        fixed, moving = gpu.slow(), gpu.timed()
        reasons = moving.get("gpu_reasons")
        return GpuCondition(
            index=index,
            name=fixed["name"],
            uuid=fixed["uuid"],
            sm_mhz=moving.get("gpu_sm_mhz"),
            max_sm_mhz=fixed["max_sm_mhz"],
            reasons=None if reasons is None else int(reasons),
            power_limit_w=fixed["power_limit_w"],
            default_power_limit_w=default_w,
            persistence=fixed["persistence_mode"],
            processes=fixed["processes"],
            gone=gpu.gone,
        )


def _published() -> tuple[set[str], list[str]]:
    """Networks whose published file is in a zoo folder and readable, and all networks that have one."""
    here, every = set(), []
    for name in cards.model_names():
        if file := checkpoint_of(name).file:
            every.append(name)
            if any(os.access(folder / file, os.R_OK) for folder in zoo.zoo_folders()):
                here.add(name)
    return here, every


def _writing_fault(folder: Path) -> str | None:
    """Error of a trial write, in the nearest existing parent of a folder that does not exist; `None` on success."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place):
            return None
    except OSError as error:
        return error.strerror or str(error)
