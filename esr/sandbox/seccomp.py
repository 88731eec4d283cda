"""seccomp: a filter of system calls; new processes are decided on by the supervisor.

Numbers from <asm/unistd_64.h> and <asm-generic/unistd.h>, the rest from <linux/seccomp.h>, <linux/audit.h> and
<linux/filter.h>.
"""

import ctypes
import errno
import fcntl
import os
import platform
import struct
from collections.abc import Iterator, Sequence

from esr.sandbox import kernel

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
"""Machine -> audit architecture, column of the table below."""
_ABSENT = -1
_SECCOMP = (317, 277)
_SET_MODE_FILTER, _TSYNC, _NEW_LISTENER, _TSYNC_ESRCH = 1, 1 << 0, 1 << 3, 1 << 4
_NOTIF_RECV, _NOTIF_SEND, _NOTIF_SIZE = 0xC0502100, 0xC0182101, 80
_NOTICE = (("=Q", 0), ("=i", 16), ("=Q", 32))
"""Type and offset of a notice's identity, system call and first argument."""
_CONTINUE = 1
_X32 = 0x40000000

_FORBIDDEN = {
    "socket": (41, 198),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "tkill": (200, 130),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "setns": (308, 268),
    "unshare": (272, 97),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "sched_setattr": (314, 274),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "userfaultfd": (323, 282),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "ioprio_set": (251, 30),
    "seccomp": _SECCOMP,
}
"""System calls with which a process reaches others, the network or the kernel's rarer parts."""
_SILENT = {"setsid": (112, 157), "setpgid": (109, 154)}
"""Report success without effect: a process that left the group would not stop with it."""
_OWN_SIGNALS = {
    "kill": (62, 129),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
}
"""Their first argument, a process, is this one."""
_SCHED_SETAFFINITY = (203, 122)
"""OpenMP names its threads, which only the supervisor can tell from other processes."""
_OWN_SETTINGS = {
    "sched_setparam": (142, 118),
    "prlimit64": (302, 261),
}
"""Their first argument is this process, or 0 for the caller."""
_SCHED_SETSCHEDULER = (144, 119)
_SETPRIORITY = (141, 140)
_PRCTL = (157, 167)
_FCNTL, _FCNTL_REFUSED = (72, 25), (8, 10, 15, 1024)
"""F_SETOWN, F_SETSIG, F_SETOWN_EX: the kernel would send any signal to any process in this one's name. F_SETLEASE: who
opens the file would wait."""
_IOCTL, _IOCTL_REFUSED = (16, 29), (0x8901, 0x8902)
"""FIOSETOWN, SIOCSPGRP: likewise."""
_CLONE, _CLONE3 = (56, 220), (435, 435)
_STARTS = {"fork": (57, _ABSENT), "vfork": (58, _ABSENT), "execve": (59, 221), "execveat": (322, 281)}
"""The supervisor decides; `clone` without a thread's flag likewise."""
_NORMAL_POLICIES = (0, 3, 5)
"""SCHED_OTHER, SCHED_BATCH, SCHED_IDLE."""
_CLONE_THREAD = 0x00010000
_CLONE_NEW = 0x7E020000
"""Every flag of clone(2) that makes a namespace."""
_PRCTL_REFUSED = (kernel.PR_SET_PDEATHSIG, kernel.PR_SET_DUMPABLE, kernel.PR_SET_CHILD_SUBREAPER, 22, 59)
"""The last two: PR_SET_SECCOMP, PR_SET_SYSCALL_USER_DISPATCH. What cannot be dumped hides its figures in `/proc`."""

_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _NOTIFY, _ERROR = 0x7FFF0000, 0x7FC00000, 0x00050000
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS = 0, 4, 16

Instruction = tuple[int, int, int, int]
_Rule = tuple[tuple[int, int], list[Instruction]]
"""Numbers of a system call, and what is done about it."""


def _return(value: int) -> Instruction:
    return _RETURN, 0, 0, value


def _argument(index: int) -> Instruction:
    return _LOAD, 0, 0, _AT_ARGUMENTS + 8 * index  # the low half: the machines here are little endian


def _refuse(number: int = errno.EPERM) -> Instruction:
    return _return(_ERROR | number)


def _require(index: int, values: Sequence[int], otherwise: Instruction | None = None) -> list[Instruction]:
    """Refuses the call, or what `otherwise` says, unless an argument is one of a few values."""
    tests = [(_JUMP_EQUAL, len(values) - at, 0, value & 0xFFFFFFFF) for at, value in enumerate(values)]
    return [_argument(index), *tests, otherwise or _refuse()]


def _rules(pid: int, *, alone: bool) -> Iterator[_Rule]:
    allow, own = _return(_ALLOW), (0, pid)
    yield from ((numbers, [_refuse()]) for numbers in _FORBIDDEN.values())
    yield from ((numbers, [_refuse(0)]) for numbers in _SILENT.values())
    yield from ((numbers, [*_require(0, (pid,)), allow]) for numbers in _OWN_SIGNALS.values())
    yield from ((numbers, [*_require(0, own), allow]) for numbers in _OWN_SETTINGS.values())
    if not alone:
        yield _SCHED_SETAFFINITY, [*_require(0, own, _return(_NOTIFY)), allow]
    yield _SCHED_SETSCHEDULER, [*_require(0, own), *_require(1, _NORMAL_POLICIES), allow]
    yield _SETPRIORITY, [*_require(0, (os.PRIO_PROCESS,)), *_require(1, own), allow]
    yield _PRCTL, [*_require(0, _PRCTL_REFUSED, allow), _refuse()]
    yield _FCNTL, [*_require(1, _FCNTL_REFUSED, allow), _refuse()]
    yield _IOCTL, [*_require(1, _IOCTL_REFUSED, allow), _refuse()]
    tests = [(_JUMP_SET, 2, 0, _CLONE_NEW), (_JUMP_SET, 2, 0, _CLONE_THREAD)]
    yield _CLONE, [_argument(0), *tests, _return(_NOTIFY), _refuse(), allow]
    yield _CLONE3, [_refuse(errno.ENOSYS)]  # its flags are in memory; the C library falls back to clone
    yield from ((numbers, [_return(_NOTIFY)]) for numbers in _STARTS.values())


def program(pid: int, *, alone: bool) -> list[Instruction]:
    """The filter for a process; `alone`: in a PID namespace of its own."""
    architecture, column = _ARCHITECTURES[platform.machine()]
    code = [
        (_LOAD, 0, 0, _AT_ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, architecture),
        _refuse(errno.ENOSYS),
        (_LOAD, 0, 0, _AT_NUMBER),
        (_JUMP_ABOVE, 0, 1, _X32),
        _refuse(errno.ENOSYS),
    ]
    for numbers, body in _rules(pid, alone=alone):
        if numbers[column] != _ABSENT:
            code += [(_JUMP_EQUAL, 0, len(body), numbers[column]), *body]
    return [*code, _return(_ALLOW)]


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def install(*, alone: bool) -> int:
    """Puts the filter on every thread of this process, for good; needs `PR_SET_NO_NEW_PRIVS`.

    Args:
        alone: It has a PID namespace of its own.

    Returns:
        The descriptor by which a supervisor decides on new processes.

    Raises:
        OSError: The kernel is older than 5.7, has no filters, or this machine's system calls are not known here.
    """
    if platform.machine() not in _ARCHITECTURES:
        raise OSError(0, f"the system calls of {platform.machine()} are not known")
    code = program(os.getpid(), alone=alone)
    packed = b"".join(struct.pack("=HBBI", *one) for one in code)
    flags = _TSYNC | _TSYNC_ESRCH | _NEW_LISTENER
    number = _SECCOMP[_ARCHITECTURES[platform.machine()][1]]
    return kernel.call(number, _SET_MODE_FILTER, flags, ctypes.byref(_Program(len(code), packed)))


def decide(listener: int, process: int, *, sealed: bool) -> None:
    """Answers one call that waits: a new process, until the sandbox is sealed, or the affinity of an own thread.

    Args:
        listener: From `install`.
        process: The worker, as this process numbers it.
        sealed: No new process is allowed.
    """
    notice = bytearray(_NOTIF_SIZE)
    try:
        fcntl.ioctl(listener, _NOTIF_RECV, notice, True)
        (identity,), (number,), (first,) = (struct.unpack_from(kind, notice, at) for kind, at in _NOTICE)
        own_thread = number in _SCHED_SETAFFINITY and os.path.exists(f"/proc/{process}/task/{first}")
        allowed = own_thread or (number not in _SCHED_SETAFFINITY and not sealed)
        answer = (0, 0, _CONTINUE) if allowed else (0, -errno.EPERM, 0)
        fcntl.ioctl(listener, _NOTIF_SEND, bytearray(struct.pack("=QqiI", identity, *answer)), True)
    except OSError:  # it has been killed meanwhile
        pass
