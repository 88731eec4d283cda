"""Fixtures for all tests."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import nvml_stub
from helpers.command import Run
from helpers.forked import can_fork, run_forked
from helpers.participants import make_participant
from helpers.paths import REFERENCE
from hypothesis import settings

# Seeded, and without time limits, which a busy machine would exceed.
settings.register_profile("esr", derandomize=True, deadline=None)
settings.load_profile("esr")


@pytest.fixture(scope="session", autouse=True)
def _own_locks(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Gives each test process its own locks: its timings do not matter, so it need not wait for others."""
    os.environ["ESR_LOCK_DIR"] = str(tmp_path_factory.mktemp("locks"))


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of reference data; skips the test if it is absent, fails in CI."""
    if not REFERENCE.is_dir():
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs the reference data at {REFERENCE}")
        pytest.skip("the reference data is not part of this checkout")
    return REFERENCE


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the compiled stub of NVML."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    return nvml_stub.build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def participant(tmp_path: Path) -> Path:
    """Folder of a participant, from `make_participant`."""
    return make_participant(tmp_path)


@pytest.fixture
def run_esr(tmp_path: Path) -> Callable[..., Run]:
    """Runs the installed command `esr` in a folder of its own, offline and with an empty cache.

    Forked (`helpers.forked`), unless the environment forbids it or the test wants a fresh process.
    """
    command = Path(sys.executable).with_name("esr")

    def run(
        *arguments: str,
        cwd: Path | None = None,
        env: dict[str, str] | None = None,
        fresh: bool = False,
        seconds: float = 240.0,
    ) -> Run:
        settings = {"ESR_OFFLINE": "1", "XDG_CACHE_HOME": str(tmp_path / "cache"), "COLUMNS": "200"}
        environment = {**os.environ, **settings, **(env or {})}
        if can_fork(environment) and not fresh:
            return run_forked(arguments, cwd or tmp_path, environment, seconds=seconds)
        done = subprocess.run(
            [str(command), *arguments],
            cwd=cwd or tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        return Run(done.returncode, done.stdout, done.stderr, cwd or tmp_path)

    return run
