"""The log of a run: one CSV row every so many steps, which any spreadsheet plots."""

import csv
from pathlib import Path

from esr.errors import ConfigError

COLUMNS = ("step", "phase", "lr", "loss", "psnr_y", "psnr_rgb", "seconds")


class Log:
    """Appends rows to `path`; of a log that is there already, rows after `steps_done` are dropped.

    Raises:
        ConfigError: The file cannot be written.
    """

    def __init__(self, path: Path, steps_done: int) -> None:
        self._path = path
        self._write("w", self._kept(steps_done))

    def _kept(self, steps_done: int) -> list[list[str]]:
        rows = [list(COLUMNS)]
        if steps_done and self._path.is_file():
            with self._path.open(newline="", encoding="utf-8") as file:
                rows += [
                    row for row in csv.reader(file) if row and row[0].isdigit() and int(row[0]) <= steps_done
                ]
        return rows

    def add(self, **values: object) -> None:
        """One row; a column that is not given stays empty."""
        self._write("a", [[_text(values.get(name)) for name in COLUMNS]])

    def _write(self, mode: str, rows: list[list[str]]) -> None:
        try:
            with self._path.open(mode, newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(rows)
        except OSError as error:
            raise ConfigError(
                f"cannot write {self._path} ({error.strerror}); pass another out=FOLDER"
            ) from error


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
