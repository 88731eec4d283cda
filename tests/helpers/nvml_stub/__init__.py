"""A stand-in for the NVIDIA driver's library, for machines without a GPU; `nvml_stub.c` says what it can do."""

import os
import struct
import subprocess
from pathlib import Path

UUIDS = ("GPU-0e5a0e5a-0000-4000-8000-000000000000", "GPU-0e5a0e5a-0000-4000-8000-000000000001")
"""Of the stub's GPUs, in NVML's order; a scenario has the first alone unless it says `0 count 2`."""
UUID = UUIDS[0]
BEFORE_BLOCKS = -0.5
"""A scenario's time before the first timed block, where a file keeps it."""


def build(folder: Path) -> Path:
    """Compiles the stub with the system's compiler.

    Returns:
        `folder`, in which `libnvidia-ml.so.1` now lies.
    """
    source = Path(__file__).with_name("nvml_stub.c")
    target = folder / "libnvidia-ml.so.1"
    subprocess.run(
        [
            "cc",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-shared",
            "-fPIC",
            f"-Wl,-soname,{target.name}",
            "-o",
            str(target),
            str(source),
        ],
        check=True,
    )
    return folder


def environment(folder: Path, scenario: Path | None = None, time: Path | None = None) -> dict[str, str]:
    """The environment of a process that finds the stub in `folder`.

    Args:
        folder: Where `build` put the library.
        scenario: The file that the stub follows.
        time: The file that keeps the scenario's time; `None`: seconds since NVML was opened.
    """
    found = {**os.environ, "LD_LIBRARY_PATH": str(folder)}
    if scenario is not None:
        found["NVML_STUB"] = str(scenario)
    if time is not None:
        found["NVML_STUB_TIME"] = str(time)
    return found


def write_time(file: Path, at: float = BEFORE_BLOCKS) -> Path:
    """Sets the scenario's time in a file that keeps it; processes that have opened it see the change."""
    with open(file, "r+b" if file.exists() else "wb") as target:
        target.write(struct.pack("=d", at))
    return file
