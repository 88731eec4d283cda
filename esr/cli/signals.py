"""SIGTERM and SIGHUP end a command as Ctrl-C does: one line, no leftover worker, no stale lock."""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)
_AGAIN_S = 0.05
_GRACE_S = 1.5
"""Seconds for a file to be written to its end, and longer than any but torch's own loops take to notice a signal."""


class Terminated(KeyboardInterrupt):
    """A signal that ends the command."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def raising() -> Iterator[None]:
    """Raises `Terminated` for SIGTERM and SIGHUP in the block; one that is ignored, as by `nohup`, stays so.

    Only the first is raised: a second one must not interrupt what ends the workers. In finalisers and callbacks, as
    during an import, Python discards exceptions: there it is sent again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _ENDING}
    ours = [number for number, handler in before.items() if handler is signal.SIG_DFL]

    def end(number: int, _: FrameType | None) -> None:
        for one in ours:
            signal.signal(one, signal.SIG_IGN)
        raise Terminated(number)

    hook = sys.unraisablehook

    def discarded(found: "sys.UnraisableHookArgs") -> None:
        if not isinstance(found.exc_value, KeyboardInterrupt):
            hook(found)
            return
        number = getattr(found.exc_value, "number", signal.SIGINT)
        if number in ours:
            signal.signal(number, end)
        threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number)).start()

    for number in ours:
        signal.signal(number, end)
    sys.unraisablehook = discarded
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number in ours:
            signal.signal(number, before[number])


@contextlib.contextmanager
def at_once(hint: str) -> Iterator[None]:
    """Ends the process soon after a signal even where one call into torch takes long, as a step of training does.

    Only for work whose files are replaced whole, and that has no workers.

    Args:
        hint: End of the line that is printed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    done = threading.Event()

    def watch() -> None:
        while received := reader.recv(1):
            if received[0] in (signal.SIGINT, *_ENDING):
                if not done.wait(_GRACE_S):
                    print(line(received[0], hint), file=sys.stderr, flush=True)
                    os._exit(128 + received[0])
                return

    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()
        signal.set_wakeup_fd(before)
        writer.close()


def line(number: int, hint: str) -> str:
    """The line on a command that a signal ended.

    >>> line(2, "rerun to resume"), line(15, "rerun to resume")
    ('esr: interrupted; rerun to resume', 'esr: ended by SIGTERM; rerun to resume')
    """
    word = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
    return f"esr: {word}; {hint}"
