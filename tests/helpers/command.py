"""Runs of the command line: their results, and the signs that they leave on the way."""

import glob
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """Result of a run of the command line."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def records(self) -> list[Path]:
        return sorted(self.folder.rglob("record.json"))


def wait_for(file: Path, seconds: float = 60.0) -> None:
    """Waits until a file exists, of which a pattern may be given, which is how a running process says where it is.

    Raises:
        TimeoutError: It does not exist after so many seconds.
    """
    end = time.monotonic() + seconds
    while not glob.glob(str(file)):
        if time.monotonic() > end:
            raise TimeoutError(f"{file} does not exist after {seconds} s")
        time.sleep(0.02)
