"""Standard output: a failed write is one line, and characters that its encoding lacks are escaped."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator

from esr.errors import OutputError


class _Guarded(io.TextIOWrapper):
    """Text over a stream of bytes, whose errors are esr's."""

    def write(self, text: str) -> int:
        with _one_line():
            return super().write(text)

    def flush(self) -> None:
        with _one_line():
            super().flush()


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    r"""Replaces `sys.stdout` during the block; characters that its encoding lacks are printed as `\uXXXX`.

    Raises:
        OutputError: Output could not be written, as on a full disk.
        BrokenPipeError: The reader has exited, as `head` does.
    """
    plain = sys.stdout
    if type(plain) is not io.TextIOWrapper:  # replaced already, as in a notebook
        yield
        return
    plain.flush()
    sys.stdout = ours = _Guarded(plain.buffer, plain.encoding, "backslashreplace", line_buffering=plain.line_buffering)
    try:
        yield
    finally:
        try:
            ours.flush()
        except (OutputError, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), plain.fileno())  # the rest would be tried again at exit
            raise
        finally:
            ours.detach()
            sys.stdout = plain


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output: cannot be written ({error.strerror})") from error
