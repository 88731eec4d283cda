"""Namespaces: a worker sees its own processes, no network, and a file system that it cannot write to."""

import contextlib
import os
from collections.abc import Callable
from functools import partial

from esr.sandbox import kernel
from esr.sandbox.layers import SandboxLayer
from esr.sandbox.policy import Policy

_ALL = kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
_MOST_MEMORY_FILES = "size=1g,mode=1777"
"""Options of the worker's own `/dev/shm`."""

Missing = dict[SandboxLayer, str]


def enter() -> tuple[list[SandboxLayer], Missing]:
    """Leaves the namespaces of the parent; children of this process are in the new PID namespace.

    With the privilege for it no user namespace is made, in which a privileged user could not read others' files.

    Returns:
        Layers that hold, and those that do not with the reason.
    """
    layers: list[SandboxLayer] = ["PID namespace", "network namespace", "IPC namespace"]
    with contextlib.suppress(OSError):
        kernel.unshare(_ALL)
        return layers, {}
    user, group = os.geteuid(), os.getegid()
    try:
        kernel.unshare(_ALL | kernel.CLONE_NEWUSER)
    except OSError as error:
        reason = f"unshare: {error.strerror}"
        missing: Missing = {"user namespace": reason, "mount namespace": reason}
        return [], missing | dict.fromkeys(layers, reason)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{user} {user} 1")
    _write("/proc/self/gid_map", f"{group} {group} 1")
    return ["user namespace", *layers], {}


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def set_up_mounts(policy: Policy) -> str | None:
    """Makes all read-only but scratch, covers what is hidden, mounts `/proc` and `/dev/shm` of this namespace.

    Called by the first process of the PID namespace.

    Returns:
        The reason why it could not be done; `None` if it was.
    """
    writable = (policy.scratch, "/proc", "/dev/shm")  # noqa: S108 - private
    quiet = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    steps: list[tuple[str, Callable[[], None]]] = [
        ("unshare", lambda: kernel.unshare(kernel.CLONE_NEWNS)),
        ("private mounts", lambda: kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)),
        ("scratch", lambda: kernel.mount(policy.scratch, policy.scratch, None, kernel.MS_BIND)),
        ("/proc", lambda: kernel.mount("proc", "/proc", "proc", quiet)),
        ("/dev/shm", lambda: kernel.mount("tmpfs", "/dev/shm", "tmpfs", quiet, _MOST_MEMORY_FILES)),  # noqa: S108
        *((path, partial(_cover, path)) for path in policy.coverable()),
        ("read-only", lambda: kernel.set_read_only("/", read_only=True)),
        *((path, partial(kernel.set_read_only, path, read_only=False)) for path in writable),
    ]
    for name, step in steps:
        try:
            step()
        except OSError as error:
            return f"{name}: {error.strerror}"
    return None


def _cover(path: str) -> None:
    if os.path.isdir(path):
        kernel.mount("tmpfs", path, "tmpfs", kernel.MS_RDONLY | kernel.MS_NODEV | kernel.MS_NOSUID, "size=4k,mode=555")
    elif os.path.exists(path):
        kernel.mount("/dev/null", path, None, kernel.MS_BIND)
