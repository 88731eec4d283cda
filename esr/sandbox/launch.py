"""Start of a worker: a supervisor, the first process of the worker's PID namespace, the worker.

Imports nothing but this package and the standard library, so that all layers but seccomp hold before torch has started
a thread. The supervisor stays outside: it decides on new processes, and ends all when its parent's pipe closes.
"""

import contextlib
import os
import resource
import signal
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import NoReturn

import msgspec

from esr.sandbox import kernel, landlock, namespaces, seccomp
from esr.sandbox.layers import Order, SandboxLayer, Started, tell
from esr.sandbox.policy import Policy
from esr.sandbox.supervisor import LISTENER, WORKER_ENDED, Supervisor

_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
"""A scheduler signals every process of a job; the parent decides about this one."""
_FILE_BYTES = 1 << 30

Lock = Callable[[], None]


def start(written: str, alive: int, status: int, kept: Sequence[int] = ()) -> Lock:
    """Starts the worker, and returns in it only.

    Args:
        written: An `Order`: the layers to set up.
        alive: Pipe from the parent, whose end ends everything.
        status: Pipe to the parent for `Report` lines.
        kept: Descriptors of the worker alone.

    Returns:
        To be called before the first line of a stranger's code: puts the filter of system calls on all threads.
    """
    order = msgspec.json.decode(written, type=Order)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    _forget_order()
    layers, missing = namespaces.enter() if order.policy else ([], {})
    theirs, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child:
        _close(theirs.detach(), *kept)
        Supervisor(child, alive, status, ours).run([order.place, order.group])
    _close(ours.detach(), alive)
    os.setsid()
    _first_to_go()
    if order.group is not None:
        _try("control group", partial(kernel.write, f"{order.group}/cgroup.procs", "0"), layers, missing)
    if order.policy and "PID namespace" in layers:
        _follow_parent()
        _try("mount namespace", partial(namespaces.set_up_mounts, order.policy), layers, missing)
        worker = os.fork()
        if worker:
            _close(status, *kept)
            _reap(worker, theirs)
    _follow_parent()
    if order.policy:
        _restrict(order.policy, layers, missing)
    tell(status, Started(tuple(layers), missing, landlock.abi() if "Landlock" in layers else 0))
    os.close(status)
    return partial(_lock, theirs, alone="PID namespace" in layers) if order.policy else theirs.close


def _forget_order() -> None:
    """Standard input held the order, which names what is hidden."""
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _first_to_go() -> None:
    """Lets the kernel end this process, and what it starts, before the parent or anything else if memory runs out."""
    with contextlib.suppress(OSError):
        kernel.write("/proc/self/oom_score_adj", "1000")


def _try(
    layer: SandboxLayer, step: Callable[[], object], layers: list[SandboxLayer], missing: dict[SandboxLayer, str]
) -> None:
    """Sets a layer up, and notes it, or the reason why it could not be."""
    try:
        step()
        layers.append(layer)
    except OSError as error:
        missing[layer] = error.strerror or str(error)


def _follow_parent() -> None:
    """Ends this process with the one that started it, even inside a pass that never returns."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def _restrict(policy: Policy, layers: list[SandboxLayer], missing: dict[SandboxLayer, str]) -> None:
    """Gives up everything that a worker does without, in this process."""
    refused = (resource.RLIMIT_CORE, resource.RLIMIT_RTPRIO, resource.RLIMIT_NICE, resource.RLIMIT_MSGQUEUE)
    for kind, most in {**dict.fromkeys(refused, 0), resource.RLIMIT_FSIZE: _FILE_BYTES}.items():
        hard = resource.getrlimit(kind)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (value, value))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def restrict_files() -> None:
        landlock.restrict(policy, own_proc="mount namespace" in layers)
        with contextlib.suppress(PermissionError), open(policy.canary, "rb"):
            raise OSError(0, "a file outside its rules can be read")

    _try("no new privileges", partial(kernel.prctl, kernel.PR_SET_NO_NEW_PRIVS, 1), layers, missing)
    # A privileged user keeps the right to read others' files, as the network's own may be.
    _try("capabilities dropped", partial(kernel.drop_capabilities, 1 << kernel.CAP_DAC_READ_SEARCH), layers, missing)
    _try("Landlock", restrict_files, layers, missing)


def _lock(supervisor: socket.socket, *, alone: bool) -> None:
    """Installs the filter and hands its listener to the supervisor; waits until that has taken it."""
    with supervisor:
        try:
            listener = seccomp.install(alone=alone)
        except OSError as error:
            supervisor.send((error.strerror or str(error)).encode())
            return
        socket.send_fds(supervisor, [LISTENER], [listener])
        os.close(listener)
        supervisor.recv(1)


def _reap(worker: int, supervisor: socket.socket) -> NoReturn:
    """The first process of the PID namespace: adopts orphans, and ends with the worker, as does all that is left."""
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    kernel.drop_capabilities(0)
    while True:
        pid, status = os.wait()
        if pid == worker:
            with contextlib.suppress(OSError):
                supervisor.send(WORKER_ENDED + status.to_bytes(4, "little"))
            os._exit(0)
