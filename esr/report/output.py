"""Report files, written whole or not at all."""

from pathlib import Path

from esr.errors import ConfigError
from esr.system import files


def write_text(text: str, target: Path) -> None:
    """Replaces a file in one step; creates its folder, follows a link, writes into a device.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        if target.exists() and not (target.is_file() or target.is_dir()):
            with target.open("w", encoding="utf-8") as device:  # /dev/null must not be replaced
                device.write(text)
            return
        files.replace(target.resolve(), text.encode())
    except (OSError, RuntimeError) as error:  # a loop of links is the latter up to Python 3.12
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{target}: cannot be written ({reason}); choose another --out") from error
