"""What a run of the command line leaves behind."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """What a run of the command line left behind."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def records(self) -> list[Path]:
        return sorted(self.folder.rglob("record.json"))
