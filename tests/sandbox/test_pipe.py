"""The reader of a worker's pipe: exactly one line, exactly the announced bytes, whatever pieces they come in."""

import contextlib
import itertools
import os
import signal
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esr.sandbox import pipe
from esr.sandbox.pipe import PipeReader


@pytest.fixture
def ends():
    """Both ends of a pipe: what is read from, what is written to."""
    read, write = os.pipe()
    yield read, write
    for fd in (read, write):
        with contextlib.suppress(OSError):
            os.close(fd)


def soon(seconds: float = 30.0) -> float:
    return time.monotonic() + seconds


def test_two_lines_that_come_at_once_are_two_lines(ends):
    read, write = ends
    os.write(write, b"one\ntwo\n")
    reader = PipeReader(read)
    assert reader.line(soon()) == b"one\n"
    assert reader.line(soon()) == b"two\n"


def test_a_line_that_comes_byte_by_byte_is_one_line(ends):
    read, write = ends

    def drip():
        for byte in b"slowly\nand more\n":
            os.write(write, bytes([byte]))
            time.sleep(0.001)

    thread = threading.Thread(target=drip)
    thread.start()
    reader = PipeReader(read)
    assert reader.line(soon()) == b"slowly\n"
    assert reader.line(soon()) == b"and more\n"
    thread.join()


class Asked(BaseException):
    """Raised by a signal's handler."""


def test_a_signal_that_does_not_interrupt_the_wait_is_noticed_during_it(ends):
    """As one that comes just before the wait: the system hands it to another thread here, every time."""
    read, write = ends
    noticed, late = threading.Event(), []

    def ask(*_):
        raise Asked

    def elsewhere():
        time.sleep(0.2)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        if not noticed.wait(15):
            late.append("the signal waits for the worker's answer")
            os.write(write, b"answer\n")

    before = signal.signal(signal.SIGUSR1, ask)
    thread = threading.Thread(target=elsewhere)
    thread.start()
    try:
        with pytest.raises(Asked):
            PipeReader(read).line(soon())
        noticed.set()
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert not late


@given(
    messages=st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=50)), min_size=1, max_size=4),
    cuts=st.lists(st.integers(0, 400), max_size=12),
)
def test_lines_and_counted_bytes_are_told_apart_however_the_stream_is_cut(messages, cuts):
    """The bytes may hold newlines; the lines may not."""
    messages = [(line.replace(b"\n", b"") + b"\n", payload) for line, payload in messages]
    stream = b"".join(line + payload for line, payload in messages)
    borders = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    read, write = os.pipe()

    def feed():
        for start, end in itertools.pairwise(borders):
            os.write(write, stream[start:end])
        os.close(write)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        reader = PipeReader(read)
        for line, payload in messages:
            assert reader.line(soon()) == line
            assert reader.exactly(len(payload), soon()) == payload
        with pytest.raises(EOFError):
            reader.line(soon())
    finally:
        thread.join()
        os.close(read)


def test_silence_ends_at_the_deadline(ends):
    read, write = ends
    os.write(write, b"half a line")
    reader = PipeReader(read)
    with pytest.raises(TimeoutError):
        reader.line(soon(0.05))
    os.write(write, b", and the rest\n")
    assert reader.line(soon()) == b"half a line, and the rest\n"
    with pytest.raises(TimeoutError):
        reader.exactly(1, soon(0.05))


def test_a_pipe_that_closes_within_a_line_has_ended(ends):
    read, write = ends
    os.write(write, b"half a line")
    os.close(write)
    with pytest.raises(EOFError):
        PipeReader(read).line(soon())


def test_a_line_without_end_is_refused(ends, monkeypatch):
    monkeypatch.setattr(pipe, "MOST_LINE", 100)
    read, write = ends
    os.write(write, b"x" * 200)
    with pytest.raises(ValueError, match="longer than 100 bytes"):
        PipeReader(read).line(soon())
