"""Base of every part of a record, and decoding of the parts that are left raw."""

from typing import TypeVar

import msgspec
from msgspec import Raw

from esr.errors import RecordError

T = TypeVar("T")


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a record: immutable; unknown fields are refused when it is read."""


DEEPEST = 50
"""Levels of a configuration's nesting; honest ones have five."""


def require_shallow(value: object, place: str) -> None:
    """Refuses nesting so deep that working on it would exhaust the stack.

    Raises:
        RecordError: The line names the place.
    """
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return
    raise RecordError(f"{place}: nested deeper than {DEEPEST} levels")


def load_raw(raw: Raw, kind: type[T], place: str) -> T:
    """Decodes a part that was left raw.

    Args:
        raw: JSON as it stands in the record.
        kind: Type to decode.
        place: Name of the part, for the message.

    Raises:
        RecordError: It does not fit its type.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"{place}: {error}") from None
