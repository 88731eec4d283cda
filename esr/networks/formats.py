"""Formats of exported files, and where they are written; without torch."""

from pathlib import Path

from esr.errors import ConfigError
from esr.system import files

SUFFIXES = {"onnx": ".onnx", "torchscript": ".pt", "safetensors": ".safetensors"}
"""Format -> suffix of its files."""
EXAMPLE = (45, 58)
"""Height and width of the example image in pixels; no multiple of a window's side, so that padding is traced."""


def write(content: bytes, target: Path) -> None:
    """Replaces a file atomically; a missing folder is created.

    Raises:
        ConfigError: The file cannot be written, or the target is not a regular file (a folder, a device).
    """
    with files.writing(target, "choose another file with out=FILE"):
        if target.exists() and not target.is_file():
            raise ConfigError(f"out={target}: is not a regular file; choose another file")
        files.replace(target, content)
