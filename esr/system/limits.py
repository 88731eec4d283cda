"""A limit on the time that a stranger's pattern may take."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def time_limit(seconds: float, error: Exception) -> Iterator[None]:
    """Ends the block with an error once its time is over; a regular expression that backtracks ends as well.

    Signals reach the main thread only: in another one, the block has no limit.

    Args:
        seconds: Wall time.
        error: Raised then.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(_: int, __: FrameType | None) -> None:
        raise error

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
