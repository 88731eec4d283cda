"""What parent and worker say to each other: one JSON object per line, never pickle.

The parent sends `{"do": NAME, ...}`; the worker answers with exactly one `{"result": ...}` or
`{"error": {"kind", "class", "message"}}`. Images travel as base64 of their raw bytes.
"""

import base64
import json
from typing import Any

import numpy as np
import numpy.typing as npt

from esr import errors

Image = npt.NDArray[np.uint8]

CHECKED_VALUES = 4096
"""Values of an SR image by which a timed pass is compared with the quality pass: few to move, too many to guess."""


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
