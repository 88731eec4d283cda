"""Linux calls that Python does not wrap; constants are the kernel's own (include/uapi/linux)."""

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)

# <linux/prctl.h>
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 4, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 36, 38, 47, 4
# <linux/sched.h>
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
# <linux/mount.h>
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
_MOUNT_SETATTR, _MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID, _AT_RECURSIVE, _AT_FDCWD = 442, 1, 2, 0x8000, -100
# <linux/capability.h>
_CAPABILITY_VERSION, CAP_DAC_READ_SEARCH, _LAST_CAPABILITY = 0x20080522, 2, 63


def call(number: int, *arguments: object) -> int:
    """A system call by number.

    Raises:
        OSError: It failed.
    """
    # Integers as long: ctypes would pass them as int.
    sent = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _checked(_LIBC.syscall(ctypes.c_long(number), *sent))


def prctl(option: int, value: int = 0, more: int = 0) -> int:
    """Changes an attribute of this process; raises as `call` does."""
    return _checked(_LIBC.prctl(option, *map(ctypes.c_ulong, (value, more, 0, 0))))


def unshare(flags: int) -> None:
    """Leaves namespaces; raises as `call` does."""
    _checked(_LIBC.unshare(flags))


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """Mounts a file system; raises as `call` does."""
    words = (None if word is None else os.fsencode(word) for word in (source, target, kind))
    _checked(_LIBC.mount(*words, ctypes.c_ulong(flags), None if options is None else options.encode()))


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "namespace")]


def set_read_only(path: str, *, read_only: bool) -> None:
    """Makes a mount, and for True all below it, read-only; raises as `call` does."""
    wanted = _MountAttributes(set=_MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID)
    if not read_only:
        wanted = _MountAttributes(clear=_MOUNT_ATTR_RDONLY)
    size, recursive = ctypes.sizeof(wanted), _AT_RECURSIVE if read_only else 0
    call(_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), recursive, ctypes.byref(wanted), size)


def drop_capabilities(kept: int) -> None:
    """Gives up all capabilities but those in a mask, of which only what is permitted stays; raises as `call` does."""
    for capability in range(_LAST_CAPABILITY + 1):
        if not kept >> capability & 1:
            try:
                prctl(PR_CAPBSET_DROP, capability)
            except OSError:  # not permitted without CAP_SETPCAP; unknown to this kernel
                break
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable: low words, then high words
    _checked(_LIBC.capget(header, data))
    for index in range(6):
        inheritable = index % 3 == 2  # noqa: PLR2004
        data[index] &= 0 if inheritable else kept >> 32 * (index // 3) & 0xFFFFFFFF
    _checked(_LIBC.capset(header, data))


def write(path: str, text: str) -> None:
    """Writes to a file of the kernel's."""
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
