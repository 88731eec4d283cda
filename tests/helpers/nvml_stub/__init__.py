"""A stand-in for the NVIDIA driver's library, for machines without a GPU; `nvml_stub.c` says what it can do."""

import os
import subprocess
from pathlib import Path

UUID = "GPU-0e5a0e5a-0000-4000-8000-000000000000"
"""Of the stub's only GPU."""


def build(folder: Path) -> Path:
    """Compiles the stub with the system's compiler.

    Returns:
        `folder`, in which `libnvidia-ml.so.1` now lies.
    """
    source = Path(__file__).with_name("nvml_stub.c")
    target = folder / "libnvidia-ml.so.1"
    subprocess.run(
        ["cc", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(target), str(source)], check=True
    )
    return folder


def environment(folder: Path, scenario: Path | None = None) -> dict[str, str]:
    """The environment of a process that finds the stub in `folder` and follows `scenario`."""
    found = {**os.environ, "LD_LIBRARY_PATH": str(folder)}
    return {**found, "NVML_STUB": str(scenario)} if scenario is not None else found
