"""What machine this is: the fingerprint in every record."""

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

from esr._version import __version__
from esr.system import nvml
from esr.system.cgroups import cpu_limit, read_line

_CPU_FREQUENCY = Path("/sys/devices/system/cpu/cpu0/cpufreq")


def fingerprint() -> dict[str, Any]:
    """Processor, memory, operating system, driver and `esr` itself; what cannot be read is none.

    The part that torch knows (GPU, CUDA, cuDNN, threads) comes from the worker that ran the network.
    """
    return {
        "esr": {"version": __version__, "commit": commit()},
        "cpu": cpu(),
        "memory_mib": psutil.virtual_memory().total / 2**20,
        "os": {"system": platform.system(), "release": platform.release(), "name": _os_name()},
        "python": platform.python_version(),
        "container": container(),
        "driver": nvml.driver(),
    }


def cpu() -> dict[str, Any]:
    """Model, cores, frequencies and the governor."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "model": _cpu_model(),
        "architecture": platform.machine(),
        "physical_cores": psutil.cpu_count(logical=False),
        "logical_cores": psutil.cpu_count(logical=True),
        "usable_cores": usable,
        "quota_cores": cpu_limit(),
        "governor": read_line(_CPU_FREQUENCY / "scaling_governor"),
        "max_mhz": _mhz(_CPU_FREQUENCY / "scaling_max_freq"),
    }


def container() -> str | None:
    """What this process is contained in: `docker`, `podman`, …; none on a plain host."""
    if Path("/.dockerenv").exists():
        return "docker"
    podman = Path("/run/.containerenv")
    if podman.exists():
        return os.environ.get("container") or "podman"  # noqa: SIM112 - systemd's convention is lower case
    return os.environ.get("container") or None  # noqa: SIM112


def commit() -> str | None:
    """The git commit of a source checkout, with `-dirty` for changed files; a container's from its build."""
    baked = os.environ.get("ESR_COMMIT")
    if baked:
        return baked
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        run = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
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
