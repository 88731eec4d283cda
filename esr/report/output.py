"""Report files, written whole or not at all."""

import os
from pathlib import Path

from esr.system import files


def write_bytes(content: bytes, target: Path) -> None:
    """Replaces a file in one step; creates its folder, follows a link, writes into a device.

    Raises:
        ConfigError: It cannot be written.
    """
    with files.writing(target, "choose another --out"):
        resolved = Path(os.path.realpath(target))
        if resolved.is_symlink():
            resolved.stat()  # raises: a loop of links
        if target.exists() and not (target.is_file() or target.is_dir()):
            target.write_bytes(content)  # a device: /dev/null must not be replaced
        else:
            files.replace(resolved, content)
