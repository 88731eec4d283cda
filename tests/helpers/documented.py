"""Commands that the documentation shows, with the place where each is run.

A block of commands is run as it stands, unless the comment above it says otherwise: a line for each kind of command, a
pattern as a shell's and the place or the reason. The first that matches counts:

    <!-- commands
    esr model=*: make test-docs
    docker *: tests/image/test_image.py
    sbatch *: not run: needs a cluster
    -->
    ```sh
    esr rank outputs
    ```
"""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "docker/*.md", "model_zoo/*.md", "examples/*.md")
    for path in ROOT.glob(pattern)
)
HERE, LATER, NEVER = "", "make test-docs", "not run: "
"""Places: the default tests, those of `make test-docs`, and nowhere, which takes a reason."""
_BLOCK = re.compile(
    r"(?:^<!-- commands\n(?P<marks>(?:(?!-->)[^\n]*\n)*)-->\n)?^```(?:sh|bash|shell|console)\n(?P<lines>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
_RECORDER = '#!/bin/sh\nprintf \'%s\\0\' "${0##*/}" "$@" >> "$RECORDED"\nprintf \'\\n\' >> "$RECORDED"\n'


@dataclass(frozen=True)
class Command:
    """One line of a block."""

    page: Path
    block: int
    """Number of the block on its page; the commands of a block follow each other."""
    line: str
    """As written, without a comment at its end."""
    place: str
    """`HERE`, `LATER`, a test's path, or `NEVER` with a reason."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {self.line}"


def commands(page: Path) -> list[Command]:
    """Every command of a page.

    Raises:
        ValueError: A mark is no `PATTERN: PLACE`.
    """
    found = []
    for number, (lines, marks) in enumerate(_blocks(page)):
        for line in lines:
            place = next((place for pattern, place in marks if fnmatchcase(line, pattern)), HERE)
            found.append(Command(page, number, line, place))
    return found


def unused_marks(page: Path) -> list[str]:
    """Patterns of marks that decide about no command."""
    idle = []
    for lines, marks in _blocks(page):
        deciding = {next((pattern for pattern, _ in marks if fnmatchcase(line, pattern)), None) for line in lines}
        idle += [pattern for pattern, _ in marks if pattern not in deciding]
    return idle


def _blocks(page: Path) -> Iterator[tuple[list[str], list[tuple[str, str]]]]:
    """Commands without comments, and marks, of each block."""
    for block in _BLOCK.finditer(page.read_text(encoding="utf-8")):
        plain = (re.sub(r"(^|\s+)#.*$", "", line).strip() for line in block["lines"].replace("\\\n", " ").splitlines())
        yield [line for line in plain if line], [_mark(page, line) for line in (block["marks"] or "").splitlines()]


def _mark(page: Path, line: str) -> tuple[str, str]:
    pattern, colon, place = line.partition(": ")
    if not colon:
        raise ValueError(f"{page.name}: {line}: expected PATTERN: PLACE")
    return pattern.strip(), place.strip()


def words(line: str, folder: Path) -> list[list[str]]:
    """The programs that a shell starts for a line in a folder, with their arguments; none of them runs.

    `HOME` is the folder, so `~/NTIRE2026_ESR` is a path in it.
    """
    stubs = folder / ".stubs"
    stubs.mkdir(exist_ok=True)
    for name in ("esr", "make", "pip", "python"):
        (stubs / name).write_text(_RECORDER)
        (stubs / name).chmod(0o755)
    recorded = stubs / "recorded"
    recorded.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "HOME": str(folder),
        "RECORDED": str(recorded),
        "PATH": f"{stubs}:{os.environ['PATH']}",
    }
    subprocess.run(["sh", "-euc", line], cwd=folder, env=environment, check=True, capture_output=True)
    if not recorded.exists():
        return []
    return [run.split("\0")[:-1] for run in recorded.read_text(encoding="utf-8").split("\n")[:-1]]
