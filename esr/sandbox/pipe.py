"""Reader of a contained process's pipe: one line, or a given number of bytes, at a time."""

import os
import select
import time

NOTICE_S = 1.0
"""Longest call of `select`: a signal that comes just before it, or to another thread, is noticed only afterwards."""
MOST_LINE = 1 << 26
"""Bytes; a longer line is no message."""
_CHUNK = 1 << 20


class PipeReader:
    """Reads lines and counted bytes, in whatever pieces they arrive; the surplus stays for the next call.

    Deadlines are in seconds of the monotonic clock.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._buffer = bytearray()

    def line(self, deadline: float) -> bytes:
        """The next line, with its newline.

        Raises:
            TimeoutError: It is not complete at the deadline.
            EOFError: The pipe was closed before its end.
            ValueError: It is longer than any message.
        """
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > MOST_LINE:
                raise ValueError(f"a line longer than {MOST_LINE} bytes")
            self._fill(deadline)
        return self._take(end + 1)

    def exactly(self, count: int, deadline: float) -> bytes:
        """The next `count` bytes; raises as `line` does."""
        while len(self._buffer) < count:
            self._fill(deadline)
        return self._take(count)

    def _fill(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        if not select.select([self._fd], [], [], min(left, NOTICE_S))[0]:
            return
        chunk = os.read(self._fd, _CHUNK)
        if not chunk:
            raise EOFError
        self._buffer += chunk

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken
