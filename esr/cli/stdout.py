"""Standard output, made to end in one line where it cannot be written, and to print on a screen of few characters."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator

from esr.errors import OutputError


class _Guarded(io.TextIOWrapper):
    """Text over a stream of bytes; what goes wrong on the way is an error of esr."""

    def write(self, text: str) -> int:
        with _told():
            return super().write(text)

    def flush(self) -> None:
        with _told():
            super().flush()


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    r"""Replaces `sys.stdout` for as long as the block runs; what its encoding lacks is printed as `\uXXXX`.

    Raises:
        OutputError: Something could not be written, as on a full disk.
        BrokenPipeError: Whoever read it has gone, as `head` does.
    """
    plain = sys.stdout
    if type(plain) is not io.TextIOWrapper:  # somebody else's, as a notebook's
        yield
        return
    plain.flush()
    sys.stdout = ours = _Guarded(
        plain.buffer, plain.encoding, "backslashreplace", line_buffering=plain.line_buffering
    )
    try:
        yield
    finally:
        try:
            ours.flush()
        except (OutputError, BrokenPipeError):
            os.dup2(
                os.open(os.devnull, os.O_WRONLY), plain.fileno()
            )  # what is left is tried again at the end
            raise
        finally:
            ours.detach()
            sys.stdout = plain


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise  # the reader has seen enough
    except OSError as error:
        raise OutputError(f"standard output: cannot be written ({error.strerror})") from error
