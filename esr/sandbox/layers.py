"""The layers of a sandbox: their names, the request for them, and what came of it."""

import contextlib
import os
from typing import Literal, TypeAlias

import msgspec

from esr.sandbox.policy import Policy

Mode: TypeAlias = Literal["auto", "require", "off"]
SandboxLayer: TypeAlias = Literal[
    "user namespace",
    "PID namespace",
    "mount namespace",
    "network namespace",
    "IPC namespace",
    "control group",
    "Landlock",
    "seccomp",
    "no new privileges",
    "capabilities dropped",
    "sealed",
]


class Order(msgspec.Struct, frozen=True):
    """What a starting worker is told; it travels in a file, since others can read a command line."""

    path: tuple[str, ...]
    """`sys.path` of the parent."""
    policy: Policy | None
    """`None`: no layer is wanted."""
    place: str
    """Folder that is removed when all is over."""
    group: str | None = None
    """Folder of the worker's control group."""


class Leader(msgspec.Struct, frozen=True, tag="leader"):
    """From the supervisor: the process that leads the worker's group."""

    pid: int


class Started(msgspec.Struct, frozen=True, tag="started"):
    """From the worker, before it has imported anything but this package."""

    layers: tuple[SandboxLayer, ...]
    missing: dict[SandboxLayer, str]
    """SandboxLayer that could not be set up -> the reason."""
    landlock_abi: int = 0


class Locked(msgspec.Struct, frozen=True, tag="locked"):
    """From the supervisor: it decides on new processes from now on; or the reason why it cannot."""

    fault: str | None = None


class Sealed(msgspec.Struct, frozen=True, tag="sealed"):
    """From the supervisor: no new process can be started any more."""


Report = Leader | Started | Locked | Sealed


def tell(pipe: int, report: Report) -> None:
    """Writes a report as one line; a reader that has gone is no error."""
    with contextlib.suppress(OSError):
        os.write(pipe, msgspec.json.encode(report) + b"\n")
