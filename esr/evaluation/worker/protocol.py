"""What parent and worker say to each other: one JSON object per line, never pickle.

The parent sends `{"do": NAME, "ticket": TEXT, ...}`; the worker answers with exactly one `{"ticket", "result"}` or
`{"ticket", "error": {"kind", "class", "message"}}`. Images travel as base64 of their raw bytes. Each request has a
ticket of its own, so that a line that a network writes into the pipe is not taken for an answer.
"""

import base64
import json
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import numpy as np
import numpy.typing as npt

from esr import errors

Image = npt.NDArray[np.uint8]

CHECKED_VALUES = 4096
"""Values of an SR image by which a timed pass is compared with the quality pass: few to move, too many to guess."""


class _Duration(TypedDict):
    device_ms: Annotated[float, msgspec.Meta(gt=0)]
    wall_ms: Annotated[float, msgspec.Meta(gt=0)]


class _Packed(TypedDict):
    shape: list[Annotated[int, msgspec.Meta(ge=0)]]
    base64: str


class _Timed(TypedDict):
    durations: list[_Duration]
    sample: _Packed | None


class _Picture(TypedDict):
    image: _Packed


class _Memory(TypedDict):
    mib: Annotated[float, msgspec.Meta(ge=0)]
    method: str


class _Audited(TypedDict):
    precisions: dict[str, list[str]]
    switches: dict[str, Any]


class _Sampled(_Audited):
    sample: _Packed


_ANSWERS: dict[str, Any] = {
    "time": _Timed,
    "sample": _Sampled,
    "quality": _Picture,
    "memory": _Memory,
    "peak": _Memory,
    "audit": _Audited,
}
"""What an answer to a request must hold; to any other it need only be an object."""


class Refusal(msgspec.Struct):
    """What a worker says instead of a result."""

    kind: Literal["user", "bad_output", "out_of_memory", "exception"]
    name: str = msgspec.field(name="class")
    """Of the exception's class."""
    message: str


class _Answer(msgspec.Struct):
    ticket: str
    result: dict[str, Any] | None = None
    error: Refusal | None = None


def answered(line: bytes, do: str, ticket: str) -> dict[str, Any] | Refusal:
    """The worker's answer to a request; what a stranger's process says is checked before anyone relies on it.

    Raises:
        ValueError: The line answers another request, or is not what an answer to this one must be.
    """
    try:
        answer = msgspec.json.decode(line, type=_Answer)
        if answer.ticket != ticket:
            raise ValueError("it answers no request of ours")
        if answer.error is not None:
            return answer.error
        msgspec.convert(answer.result, _ANSWERS.get(do, dict))
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error
    result: dict[str, Any] = answer.result or {}
    return result


def encode(message: dict[str, Any]) -> bytes:
    """One message as a line; NaN and infinity are refused, so that any JSON reader understands it."""
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The message in a line.

    Raises:
        ValueError: The line is not a JSON object.
    """
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError(f"expected an object, got {type(message).__name__}")
    return message


def pack(image: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """An 8-bit array of any shape as plain data."""
    return {"shape": list(image.shape), "base64": base64.b64encode(image.tobytes()).decode()}


def unpack(packed: dict[str, Any]) -> npt.NDArray[np.uint8]:
    """The array that `pack` packed.

    Raises:
        ValueError: The bytes do not fill the shape.
    """
    values = np.frombuffer(base64.b64decode(packed["base64"], validate=True), np.uint8)
    return values.reshape(packed["shape"])


def positions(values: int, seed: int) -> npt.NDArray[np.int64]:
    """Where an image of so many values is sampled, as follows from the seed: `CHECKED_VALUES` places at most."""
    return np.random.default_rng(seed).integers(0, values, min(CHECKED_VALUES, values))


def sample(image: Image, seed: int) -> npt.NDArray[np.uint8]:
    """The values of an image at `positions`."""
    flat = image.reshape(-1)
    return flat[positions(flat.size, seed)]


def user_error(name: str, message: str) -> errors.EsrError:
    """The error of `esr.errors` that a worker named, for the parent to raise."""
    kind = getattr(errors, name, errors.EsrError)
    if not (isinstance(kind, type) and issubclass(kind, errors.EsrError)):
        kind = errors.EsrError
    return kind(message)
