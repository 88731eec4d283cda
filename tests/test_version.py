"""The version is the tag's, wherever the sources come from."""

import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import esr

ROOT = Path(__file__).resolve().parents[1]


def git(folder: Path, *words: str) -> bytes:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, check=True).stdout


def version(folder: Path) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "setuptools_scm"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.fixture
def sources(tmp_path):
    """A repository that is versioned as this one is."""
    folder = tmp_path / "sources"
    folder.mkdir()
    for name in ("pyproject.toml", ".git_archival.txt", ".gitattributes"):
        shutil.copy(ROOT / name, folder)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=first")
    return folder


def test_a_tag_is_the_version_and_commits_after_it_count(sources):
    git(sources, "tag", "v1.2.3")
    assert version(sources) == "1.2.3"
    git(sources, "commit", "--quiet", "--allow-empty", "--message=second")
    assert version(sources).startswith("1.2.4.dev1+g")


def test_only_a_tag_of_a_version_counts(sources):
    git(sources, "tag", "v1.2.3")
    git(sources, "commit", "--quiet", "--allow-empty", "--message=second")
    git(sources, "tag", "before-the-move")
    assert version(sources).startswith("1.2.4.dev1+g")


def test_an_archive_without_git_knows_its_tag(sources, tmp_path):
    git(sources, "tag", "v1.2.3")
    (tmp_path / "archive.tar").write_bytes(git(sources, "archive", "--prefix=archive/", "HEAD"))
    shutil.unpack_archive(tmp_path / "archive.tar", tmp_path)
    assert version(tmp_path / "archive") == "1.2.3"


def test_sources_without_tag_or_git_can_be_built_all_the_same(sources):
    assert version(sources).startswith("0.1.dev1+g")
    shutil.rmtree(sources / ".git")
    assert version(sources) == "0.0"


def test_the_installed_packages_version_is_esrs(monkeypatch):
    assert esr.__version__ == metadata.version("esr")

    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", absent)
    assert esr.__version__ == "0+unknown", "a checkout on the path that was never installed"
