"""Limits of this process's control groups, on cgroup v2 and v1."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")
_NO_LIMIT = 1 << 60
"""Bytes; cgroup v1 states "no limit" as the largest page-aligned number."""


def memory_limit(root: Path = _ROOT, own: Path = _OWN) -> int | None:
    """Bytes of memory for all processes of the group; `None` without a limit."""
    found = []
    for folder, file in _files(root, own, "memory", "memory.max", "memory.limit_in_bytes"):
        text = read_line(folder / file)
        if text and text.isdigit() and int(text) < _NO_LIMIT:
            found.append(int(text))
    return min(found, default=None)


def cpu_limit(root: Path = _ROOT, own: Path = _OWN) -> float | None:
    """CPU cores available on average; `None` without a limit."""
    found = []
    for folder, file in _files(root, own, "cpu", "cpu.max", "cpu.cfs_quota_us"):
        words = (read_line(folder / file) or "").split()
        if file == "cpu.cfs_quota_us":
            words += (read_line(folder / "cpu.cfs_period_us") or "").split()
        if len(words) == 2 and all(word.isdigit() for word in words):  # noqa: PLR2004 - quota and period
            found.append(int(words[0]) / int(words[1]))
    return min(found, default=None)


def _files(root: Path, own: Path, controller: str, new: str, old: str) -> Iterator[tuple[Path, str]]:
    """Folders whose limits apply, from this process's group upwards, each with the name of its limit file."""
    for line in (read_line(own) or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            top, file = root, new
        elif controller in controllers.split(","):
            top, file = root / controller, old
        else:
            continue
        # In a container the path is the host's, and the limits stand at the top of what is mounted.
        group = PurePosixPath(path.lstrip("/"))
        for part in (group, *group.parents):
            yield top / part, file


def read_line(path: Path) -> str | None:
    """The text of a kernel file; `None` if it is empty or cannot be read."""
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
