"""Landlock: files reachable by a list only, no TCP, no signals or abstract sockets to the outside.

Constants and structures from <linux/landlock.h>.
"""

import ctypes
import os
import stat

from esr.sandbox import kernel
from esr.sandbox.policy import Policy

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_VERSION = 1
_PATH_BENEATH = 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | _TRUNCATE | _IOCTL_DEV
"""Rights that a rule for a file, not a folder, may give."""
_SPECIAL = 1 << 6 | 1 << 9 | 1 << 11
"""Making character devices, sockets and block devices."""
READ = READ_FILE | READ_DIR
_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""ABI -> number of file rights that it knows."""
_TCP, _TCP_ABI = 0b11, 4
_SCOPES, _SCOPES_ABI = 0b11, 6
_DEVICES = ("null", "zero", "full", "random", "urandom")
_PROC = ("cpuinfo", "meminfo", "stat", "version", "filesystems", "devices", "driver", "sys/vm", "sys/kernel", "loadavg",
         "uptime", "vmstat", "modules")  # fmt: skip


class _Ruleset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("fs", "net", "scoped")]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("access", ctypes.c_uint64), ("fd", ctypes.c_int32)]


def abi() -> int:
    """Version of the kernel's Landlock; 0 without it."""
    try:
        return kernel.call(_CREATE, None, 0, _VERSION)
    except OSError:
        return 0


def restrict(policy: Policy, *, own_proc: bool) -> None:
    """Restricts this thread and all that it starts, for good; needs `PR_SET_NO_NEW_PRIVS`.

    Args:
        policy: Folders to read and to write.
        own_proc: `/proc` and `/dev/shm` are of this PID and mount namespace.

    Raises:
        OSError: The kernel has no Landlock.
    """
    version = kernel.call(_CREATE, None, 0, _VERSION)
    known = (1 << _FS_BITS.get(version, 16)) - 1
    attributes = _Ruleset(known, _TCP if version >= _TCP_ABI else 0, _SCOPES if version >= _SCOPES_ABI else 0)
    rules = kernel.call(_CREATE, ctypes.byref(attributes), ctypes.sizeof(attributes), 0)
    try:
        for path, listed in policy.grants():
            _allow(rules, path, READ_DIR if listed else READ | EXECUTE)
        _allow(rules, policy.scratch, known & ~EXECUTE & ~_SPECIAL)
        for path in _devices():
            _allow(rules, path, (READ | WRITE_FILE | _TRUNCATE | _IOCTL_DEV) & known)
        for path in ["/proc"] if own_proc else [f"/proc/{name}" for name in _PROC]:
            _allow(rules, path, READ)
        # Not to write, or it could reset its own peak of memory.
        _allow(rules, f"/proc/{os.readlink('/proc/self')}", READ)
        if own_proc:
            _allow(rules, "/dev/shm", known & ~EXECUTE & ~_SPECIAL)  # noqa: S108 - private
        kernel.call(_RESTRICT, rules, 0)
    finally:
        os.close(rules)


def _devices() -> list[str]:
    found = [f"/dev/{name}" for name in _DEVICES]
    return found + [entry.path for entry in os.scandir("/dev") if entry.name.startswith("nvidia")]


def _allow(rules: int, path: str, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # absent, or not ours to enter
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= _OF_FILES
        kernel.call(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(_PathBeneath(access, descriptor)), 0)
    finally:
        os.close(descriptor)
