"""The supervisor of a worker: decides on new processes, and leaves nothing behind."""

import contextlib
import os
import select
import shutil
import signal
import socket
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from esr.sandbox import kernel, seccomp
from esr.sandbox.layers import Leader, Locked, Sealed, tell

SEAL = b"s"
"""The parent's byte on the pipe whose end ends the worker."""
WORKER_ENDED = b"w"
"""From the first process of the PID namespace; four bytes with the worker's wait status follow."""
LISTENER = b"l"
"""From the worker, with the descriptor of its filter of system calls."""
_POLL_MS = 1000


class Supervisor:
    """Outside of the worker's namespaces, and in another process group, so that it runs while the worker is stopped.

    Args:
        child: The worker, or the first process of its PID namespace.
        alive: Pipe from the parent.
        status: Pipe to the parent.
        worker: Socket to the worker.
    """

    def __init__(self, child: int, alive: int, status: int, worker: socket.socket) -> None:
        self._child, self._alive, self._status, self._worker = child, alive, status, worker
        self._sealed = False
        self._ended: int | None = None
        """Wait status of the child."""
        self._told: int | None = None
        """Wait status of a worker that is not the child."""
        self._listener = -1
        self._poll = select.poll()

    def run(self, leftovers: Sequence[str | None]) -> NoReturn:
        """Serves until the worker and all that it started have ended; then ends as the worker did.

        Args:
            leftovers: Its folder and its control group, which are removed.
        """
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
        woken, waker = os.pipe()
        for end in (woken, waker):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        handlers: dict[int, Callable[[], object]] = {
            self._alive: self._obey,
            self._worker.fileno(): self._listen,
            woken: lambda: os.read(woken, 100),
        }
        for descriptor in handlers:
            self._poll.register(descriptor, select.POLLIN)
        tell(self._status, Leader(self._child))
        while self._ended is None:
            for descriptor, event in self._poll.poll(_POLL_MS):
                if descriptor != self._listener:
                    handlers[descriptor]()
                elif event & select.POLLIN:
                    seccomp.decide(descriptor, self._child, sealed=self._sealed)
                else:
                    self._poll.unregister(descriptor)
            self._collect()
        self._sealed = True
        self._end_all()
        with contextlib.suppress(OSError):
            self._listen()  # the last word of the namespace's first process
        for folder in filter(None, leftovers):
            remove(folder)
        _end_as(self._ended if self._told is None else self._told)

    def _obey(self) -> None:
        if os.read(self._alive, 1) == SEAL:
            self._sealed = True
            tell(self._status, Sealed())
            return
        self._poll.unregister(self._alive)
        self._sealed = True
        for send, target in ((os.killpg, self._child), (os.kill, self._child)):
            with contextlib.suppress(OSError):
                send(target, signal.SIGKILL)

    def _listen(self) -> None:
        message, descriptors, _, _ = socket.recv_fds(self._worker, 200, 1, socket.MSG_DONTWAIT)
        if message[:1] == WORKER_ENDED:
            self._told = int.from_bytes(message[1:], "little")
        elif descriptors and message == LISTENER:
            (self._listener,) = descriptors
            self._poll.register(self._listener, select.POLLIN)
            tell(self._status, Locked())
            self._worker.send(message)
        elif message:
            tell(self._status, Locked(message.decode(errors="replace")))
        else:
            with contextlib.suppress(KeyError):
                self._poll.unregister(self._worker)

    def _collect(self) -> None:
        """Waits for children that have ended; orphans of the worker are among them."""
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == self._child:
                    self._ended = found[1]

    def _end_all(self) -> None:
        """Kills the orphans of a worker without a PID namespace, which the kernel makes children of this process."""
        while True:
            for pid in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return


def remove(folder: str) -> None:
    """Removes a folder that a stranger has written to: without following links, whatever its modes are."""
    for place, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            os.chmod(place, stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir(folder)  # a control group, whose files cannot be removed


def _children() -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if f"\nPPid:\t{os.getpid()}\n" in status.read_text(errors="replace"):
                found.append(int(status.parent.name))
    return found


def _end_as(status: int) -> NoReturn:
    """Ends this process with a wait status: the signal or the exit code of the worker."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))
