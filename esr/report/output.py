"""Writes a report: the old file or the new one, never half."""

import os
import tempfile
from pathlib import Path

from esr.errors import ConfigError


def write_text(text: str, target: Path) -> None:
    """Replaces a file in one step; its folder is made where it is missing.

    Raises:
        ConfigError: It cannot be written.
    """
    part: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=target.parent, prefix=".", suffix=".part", delete=False
        ) as file:
            part = Path(file.name)
            file.write(text)
        part.chmod(0o644)
        os.replace(part, target)
    except OSError as error:
        if part is not None:
            part.unlink(missing_ok=True)
        raise ConfigError(f"{target}: cannot be written ({error.strerror}); choose another --out") from error
