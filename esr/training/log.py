"""Training log: a CSV file with one row every `log_every` steps."""

import csv
import io
from pathlib import Path

from esr.errors import ConfigError
from esr.system import files

COLUMNS = ("step", "phase", "lr", "loss", "psnr_y", "psnr_rgb", "seconds")


class Log:
    """Appends rows to `path`; rows of an existing log after `steps_done` are discarded.

    Raises:
        ConfigError: The file cannot be written.
    """

    def __init__(self, path: Path, steps_done: int) -> None:
        self._path = path
        files.write(path, _as_csv(self._kept(steps_done)), ConfigError)

    def _kept(self, steps_done: int) -> list[list[str]]:
        """The heading, and the complete rows of earlier sittings up to the step at which the run resumes."""
        rows = [list(COLUMNS)]
        if steps_done and self._path.is_file():
            with self._path.open(newline="", encoding="utf-8", errors="replace") as file:
                try:
                    rows += [row for row in csv.reader(file) if _is_done(row, steps_done)]
                except csv.Error as error:
                    raise ConfigError(f"{self._path} is not a log ({error}); move it away") from error
        return rows

    def add(self, **values: object) -> None:
        """Appends one row; columns not given stay empty."""
        row = _as_csv([[_text(values.get(name, "")) for name in COLUMNS]])
        with files.writing(self._path), self._path.open("ab") as file:
            file.write(row)


def _is_done(row: list[str], steps_done: int) -> bool:
    return len(row) == len(COLUMNS) and row[0].isdecimal() and int(row[0]) <= steps_done


def _as_csv(rows: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
