"""Fingerprint of the machine, part of every record."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

from esr import __version__
from esr.records.document import Cpu, Driver, Environment, OperatingSystem, Program
from esr.system import nvml
from esr.system.cgroups import cpu_limit, read_line

_CPU_FREQUENCY = Path("/sys/devices/system/cpu/cpu0/cpufreq")


def fingerprint() -> Environment:
    """Processor, memory, operating system, driver and `esr`; `None` for what cannot be read.

    GPU, CUDA, cuDNN and threads are reported by the worker that runs the network.
    """
    return Environment(
        esr=Program(__version__, commit()),
        cpu=cpu(),
        memory_mib=psutil.virtual_memory().total / 2**20,
        os=OperatingSystem(platform.system(), platform.release(), _os_name()),
        python=platform.python_version(),
        container=container(),
        driver=driver(),
    )


def cpu() -> Cpu:
    """Model, cores, frequency limit and governor."""
    return Cpu(
        model=_cpu_model(),
        architecture=platform.machine(),
        physical_cores=psutil.cpu_count(logical=False),
        logical_cores=psutil.cpu_count(logical=True),
        usable_cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        quota_cores=cpu_limit(),
        governor=read_line(_CPU_FREQUENCY / "scaling_governor"),
        max_mhz=_mhz(_CPU_FREQUENCY / "scaling_max_freq"),
    )


def driver() -> Driver:
    """The NVIDIA driver's version and newest CUDA, or the error that NVML answered with."""

    def versions(api: Any) -> Driver:
        cuda = api.nvmlSystemGetCudaDriverVersion_v2()
        return Driver(api.nvmlSystemGetDriverVersion(), f"{cuda // 1000}.{cuda % 1000 // 10}", None)

    found, error = nvml.ask(versions)
    return found or Driver(None, None, error)


def container() -> str | None:
    """Kind of container this process runs in: `docker`, `podman`, …; `None` on a plain host."""
    if Path("/.dockerenv").exists():
        return "docker"
    kind = os.environ.get("container")  # noqa: SIM112 - systemd's convention is lower case
    return kind or ("podman" if Path("/run/.containerenv").exists() else None)


def commit() -> str | None:
    """Git commit of a source checkout, `-dirty` with changed files; in a container, the commit it was built from."""
    if baked := os.environ.get("ESR_COMMIT"):
        return baked
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip() or None


def _mhz(path: Path) -> float | None:
    text = read_line(path)
    return int(text) / 1000 if text and text.isdigit() else None


def _cpu_model() -> str | None:
    for line in (read_line(Path("/proc/cpuinfo")) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "Hardware"):
            return value.strip()
    return platform.processor() or None


def _os_name() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None
