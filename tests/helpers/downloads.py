"""A file to download, and helpers around one download."""

import hashlib
import random
import subprocess
import sys
from pathlib import Path

import pytest

from esr.errors import DownloadError
from esr.zoo.download import CHUNK, Patience, download
from helpers.faultserver import (
    FaultServer,
)

CONTENT = random.Random(0).randbytes(200_000)
OTHER = random.Random(1).randbytes(200_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
CUT = 5 * CHUNK
QUICK = Patience(connect_s=0.5, stall_s=0.3, attempts=3, backoff_s=0.01, lock_s=20)


def fetch(server: FaultServer, target: Path, patience: Patience = QUICK) -> Path:
    return download(server.url, target, bytes=len(CONTENT), sha256=SHA256, patience=patience)


def refusal(
    url: str,
    target: Path,
    *,
    size: int | None = len(CONTENT),
    sha256: str | None = SHA256,
    patience: Patience = QUICK,
) -> str:
    """The error message of a failed download."""
    with pytest.raises(DownloadError) as caught:
        download(url, target, bytes=size, sha256=sha256, patience=patience)
    line = str(caught.value)
    assert "\n" not in line
    assert not target.exists()
    return line


def fetch_in_another_process(server: FaultServer, target: Path) -> subprocess.Popen[bytes]:
    script = "import sys, pathlib, esr.zoo.download as d; d.download(sys.argv[1], pathlib.Path(sys.argv[2]))"
    return subprocess.Popen([sys.executable, "-c", script, server.url, str(target)])


def part_of(target: Path) -> Path:
    return Path(f"{target}.part")


def leave_part(target: Path, content: bytes, etag: str | None = None) -> None:
    target.parent.mkdir(parents=True)
    part_of(target).write_bytes(content)
    if etag:
        Path(f"{target}.part.etag").write_text(etag)
