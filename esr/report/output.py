"""Writes a report: the old file or the new one, never half."""

from pathlib import Path

from esr.errors import ConfigError
from esr.system import files as atomic


def write_text(text: str, target: Path) -> None:
    """Replaces a file in one step; its folder is made where it is missing, a link is followed, a device is written to.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        if target.exists() and not (target.is_file() or target.is_dir()):
            with target.open("w", encoding="utf-8") as device:  # as /dev/null, which nobody wants replaced
                device.write(text)
            return
        target = target.resolve()
        atomic.replace(target, text.encode())
    except (OSError, RuntimeError) as error:  # a loop of links is the latter up to Python 3.12
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{target}: cannot be written ({reason}); choose another --out") from error
