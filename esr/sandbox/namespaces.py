"""Namespaces: a worker sees its own processes, no network, and a file system that it cannot write to."""

import os
from collections.abc import Callable
from functools import partial

from esr.sandbox import kernel
from esr.sandbox.layers import SandboxLayer
from esr.sandbox.policy import Policy

_APART = kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
_QUIET = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
_MOST_MEMORY_FILES = "size=1g,mode=1777"
"""Options of the worker's own `/dev/shm`."""

Missing = dict[SandboxLayer, str]


def enter() -> tuple[list[SandboxLayer], Missing]:
    """Leaves the namespaces of the parent; children of this process are in the new PID namespace.

    With the privilege for it no user namespace is made, in which a privileged user could not read others' files.
    There is no PID namespace where its `/proc` cannot be mounted, as in most containers: a process would find another's
    figures under its own number.

    Returns:
        Layers that hold, and those that do not with the reason.
    """
    layers: list[SandboxLayer] = ["network namespace", "IPC namespace"]
    try:
        kernel.unshare(_APART)
    except OSError:
        user, group = os.geteuid(), os.getegid()
        try:
            kernel.unshare(_APART | kernel.CLONE_NEWUSER)
        except OSError as error:
            names: list[SandboxLayer] = ["user namespace", "PID namespace", "mount namespace", *layers]
            return [], dict.fromkeys(names, f"unshare: {error.strerror}")
        kernel.write("/proc/self/setgroups", "deny")
        kernel.write("/proc/self/uid_map", f"{user} {user} 1")
        kernel.write("/proc/self/gid_map", f"{group} {group} 1")
        layers.insert(0, "user namespace")
    if number := _errno_of(_try_own_proc):
        fault = f"/proc: {os.strerror(number)}"
        return layers, {"PID namespace": fault, "mount namespace": fault}
    kernel.unshare(kernel.CLONE_NEWPID)
    return [*layers, "PID namespace"], {}


def _try_own_proc() -> None:
    """Mounts the `/proc` of a new PID namespace, in processes that end at once."""
    kernel.unshare(kernel.CLONE_NEWPID)
    if fault := _errno_of(_mount_own_proc):
        raise OSError(fault, os.strerror(fault))


def _errno_of(step: Callable[[], object]) -> int:
    """Error number of a step, made in a process of its own; 0 if it succeeds."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        step()
    except OSError as error:
        os._exit(error.errno or 1)
    os._exit(0)


def _mount_own_proc() -> None:
    """Enters a mount namespace whose `/proc` shows the PID namespace of this process."""
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("proc", "/proc", "proc", _QUIET)


def set_up_mounts(policy: Policy) -> None:
    """Makes all read-only but scratch, covers what is hidden, mounts `/proc` and `/dev/shm` of this namespace.

    Called by the first process of the PID namespace.

    Raises:
        OSError: It could not be done.
    """
    writable = (policy.scratch, "/dev/shm")  # noqa: S108 - private
    steps: list[tuple[str, Callable[[], None]]] = [
        ("/proc", _mount_own_proc),
        ("scratch", lambda: kernel.mount(policy.scratch, policy.scratch, None, kernel.MS_BIND)),
        ("/dev/shm", lambda: kernel.mount("tmpfs", "/dev/shm", "tmpfs", _QUIET, _MOST_MEMORY_FILES)),  # noqa: S108
        *((path, partial(_cover, path)) for path in policy.coverable()),
        ("read-only", lambda: kernel.set_read_only("/", read_only=True)),
        *((path, partial(kernel.set_read_only, path, read_only=False)) for path in writable),
    ]
    for name, step in steps:
        try:
            step()
        except OSError as error:
            raise OSError(error.errno, f"{name}: {error.strerror}") from error


def _cover(path: str) -> None:
    if os.path.isdir(path):
        kernel.mount("tmpfs", path, "tmpfs", kernel.MS_RDONLY | kernel.MS_NODEV | kernel.MS_NOSUID, "size=4k,mode=555")
    elif os.path.exists(path):
        kernel.mount("/dev/null", path, None, kernel.MS_BIND)
