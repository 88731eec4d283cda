"""Numbers in a weight file, counted without torch and without the worker."""

import json
import math
import zipfile
from pathlib import Path

from esr.records.network import Complexity, Weights

_HEADER_LIMIT = 1 << 27
"""Bytes of a safetensors header; a larger one is none."""
_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
_MORE, _FEWEST_SHARE = 1.5, 0.05
"""Bytes in the file over those registered, and parameters over numbers in the file: buffers may be many."""
_FLOAT = 4


def tensor_bytes(path: Path) -> int | None:
    """Bytes of all tensors in a file; `None` if its layout is neither safetensors nor torch's archive."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return sum(one.file_size for one in archive.infolist() if "/data/" in one.filename)
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _HEADER_LIMIT:
                return None
            header = json.loads(file.read(length))
        entries = [value for name, value in header.items() if name != "__metadata__"]
        return int(sum(math.prod(entry["shape"]) * _BYTES.get(entry["dtype"], 1) for entry in entries))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile):
        return None


def uncounted(weights: Weights, counted: Complexity | None, *, whole: bool) -> str | None:
    """Evidence that a network has more parameters than its worker counted.

    Args:
        weights: The file.
        counted: The worker's counts.
        whole: Every entry of the file is a parameter or buffer: none is dropped, none belongs to training.

    Returns:
        One line with both figures; `None` if they agree or nothing can be said.
    """
    if weights.path is None or counted is None or counted.live_memory is None or not whole:
        return None
    there, registered = tensor_bytes(Path(weights.path)), counted.live_memory.weights
    if there is None:
        return None
    if there > _MORE * registered or counted.params < _FEWEST_SHARE * there / _FLOAT:
        return f"{counted.params} parameters counted, {there // _FLOAT} numbers in the weight file"
    return None
