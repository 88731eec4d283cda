"""Envelopes: how a message travels between an evaluation and its workers.

On the pipe a message is one JSON line, an `Envelope`, followed by the raw bytes of its arrays. Each request carries a
secret ticket, which its answer repeats: a line that a network writes into the pipe is not taken for an answer. Never
pickle: a worker runs a stranger's code, so its answers are checked before they are used.
"""

import math
from typing import Annotated, Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from esr.text import one_line

MOST_BYTES = 1 << 32
"""Bytes of a message's arrays."""
MESSAGE_LIMIT = 2000
"""Characters of an exception's text in a refusal; a stranger's may hold a whole tensor."""
Pixels: TypeAlias = npt.NDArray[np.uint8]
"""8-bit values of any shape; on the pipe the shape stands in the line and the values after it."""
Word: TypeAlias = Annotated[str, Meta(max_length=MESSAGE_LIMIT)]
_Extent: TypeAlias = Annotated[tuple[Annotated[int, Meta(ge=0, le=10**9)], ...], Meta(max_length=4)]


def word(text: str) -> Word:
    """Untrusted text as a message may hold it."""
    return one_line(text)[:MESSAGE_LIMIT]


class Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The line that carries a message."""

    ticket: Annotated[str, Meta(max_length=100)]
    bytes: Annotated[int, Meta(ge=0, le=MOST_BYTES)]
    """Bytes that follow the line."""
    message: msgspec.Raw
    replaced: Annotated[tuple[Word, ...], Meta(max_length=100)] = ()
    """Of an answer: functions that measure, and that are not those that the worker began with."""


def pack(message: msgspec.Struct, ticket: str, replaced: tuple[str, ...] = ()) -> bytes:
    """A message as it is written to the pipe."""
    arrays: list[bytes] = []

    def set_aside(array: object) -> list[int]:
        if not isinstance(array, np.ndarray):
            raise TypeError(f"a {type(array).__name__} cannot travel")
        arrays.append(array.tobytes())
        return list(array.shape)

    raw = msgspec.Raw(msgspec.json.encode(message, enc_hook=set_aside))
    line = msgspec.json.encode(Envelope(ticket, sum(map(len, arrays)), raw, replaced))
    return b"".join([line, b"\n", *arrays])


def open_envelope(line: bytes, ticket: str | None = None, most: int = MOST_BYTES) -> Envelope:
    """The envelope in a line.

    Args:
        line: With or without its newline.
        ticket: The one it has to carry; `None`: any.
        most: Bytes that may follow.

    Raises:
        ValueError: It is not an envelope, carries another ticket, or more follows.
    """
    envelope: Envelope = _decoded(line, Envelope)
    if ticket is not None and envelope.ticket != ticket:
        raise ValueError("it answers no request of ours")
    if envelope.bytes > most:
        raise ValueError(f"{envelope.bytes} bytes where {most} belong")
    return envelope


def unpack(message: msgspec.Raw, payload: bytes, kind: Any) -> Any:
    """The message of an envelope, of a type or one of several; the payload holds its arrays.

    Raises:
        ValueError: It is not such a message, or the payload is not its arrays.
    """
    taken = 0

    def next_array(_: type, shape: Any) -> Pixels:
        nonlocal taken
        extent = msgspec.convert(shape, _Extent)
        start, taken = taken, taken + math.prod(extent)
        if taken > len(payload):
            raise ValueError("array cut short")
        return np.frombuffer(payload, np.uint8, taken - start, start).reshape(extent)

    found = _decoded(message, kind, next_array)
    if taken != len(payload):
        raise ValueError(f"{len(payload) - taken} bytes that belong to no array")
    return found


def _decoded(raw: bytes | msgspec.Raw, kind: Any, hook: Any = None) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind, dec_hook=hook)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error
