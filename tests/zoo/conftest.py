"""Fixtures of the tests of downloads."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.downloads import CONTENT
from helpers.faultserver import FaultServer


@pytest.fixture
def no_proxy_and_no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("ESR_MIRROR", raising=False)
    monkeypatch.delenv("ESR_OFFLINE", raising=False)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(CONTENT) as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "zoo" / "net.pth"
