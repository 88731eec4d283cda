"""Commit and differences of checkouts in the forms that git has."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from esr.zoo.repository import source_digest, state


def git(folder: Path, *words: str) -> str:
    names = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "protocol.file.allow=always")
    done = subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a folder in it, and one commit before the last."""
    root = tmp_path / "a checkout"
    (root / "code").mkdir(parents=True)
    git(root, "init", "-q")
    for number in range(2):
        (root / "code" / "test_demo.py").write_text(f"x = {number}\n")
        (root / "README.md").write_text(f"{number}\n")
        git(root, "add", ".")
        git(root, "commit", "-qm", "all")
    return root


def test_a_clean_and_a_changed_checkout(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert state(checkout) == (head, ())
    (checkout / "README.md").write_text("other\n")
    (checkout / "new.py").write_text("\n")
    (checkout / "code" / "test_demo.py").chmod(0o755)  # as an archive or another file system leaves it
    assert state(checkout) == (head, ("README.md", "new.py"))


def test_a_branch_and_a_file_whose_names_are_not_ascii(checkout: Path) -> None:
    git(checkout, "checkout", "-q", "-b", "größe")
    assert state(checkout) == (git(checkout, "rev-parse", "HEAD"), ())
    git(checkout, "pack-refs", "--all")
    assert state(checkout) == (git(checkout, "rev-parse", "HEAD"), ())
    before = source_digest(checkout)
    (checkout / os.fsdecode(b"gr\xf6sse.py")).write_text("\n")
    assert source_digest(checkout) != before


def test_a_shallow_clone_a_worktree_and_a_submodule(checkout: Path, tmp_path: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    git(tmp_path, "clone", "-q", "--depth", "1", checkout.as_uri(), "shallow")
    assert state(tmp_path / "shallow") == (head, ())
    git(checkout, "worktree", "add", "-q", str(tmp_path / "tree"), "HEAD~1")
    assert state(tmp_path / "tree") == (git(checkout, "rev-parse", "HEAD~1"), ())
    (tmp_path / "super").mkdir()
    git(tmp_path / "super", "init", "-q")
    git(tmp_path / "super", "submodule", "add", "-q", str(checkout), "sub")
    assert state(tmp_path / "super" / "sub") == (head, ())


def test_a_folder_of_a_checkout_and_one_that_only_lies_in_it(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    (checkout / "README.md").write_text("elsewhere\n")
    assert state(checkout / "code") == (head, ())
    (checkout / "code" / "test_demo.py").write_text("x = 9\n")
    (checkout / "code" / "more.py").write_text("\n")
    assert state(checkout / "code") == (head, ("more.py", "test_demo.py"))
    (checkout / ".gitignore").write_text("downloads\n")
    (checkout / "downloads").mkdir()
    (checkout / "downloads" / "test_demo.py").write_text("\n")
    assert state(checkout / "downloads") == (None, None)


def test_files_that_git_lfs_has_fetched_do_not_differ(checkout: Path) -> None:
    content = b"weights" * 1000
    digest = hashlib.sha256(content).hexdigest()
    (checkout / ".gitattributes").write_text("*.pth filter=lfs diff=lfs merge=lfs -text\n")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n"
    for name in ("fetched", "other", "pointer"):
        (checkout / "code" / f"{name}.pth").write_text(pointer)
    git(checkout, "add", ".")
    git(checkout, "-c", "filter.lfs.required=false", "commit", "-qm", "weights")
    (checkout / "code" / "fetched.pth").write_bytes(content)
    (checkout / "code" / "other.pth").write_bytes(content[1:])
    head = git(checkout, "rev-parse", "HEAD")
    assert state(checkout) == (head, ("code/other.pth",))
    assert state(checkout / "code") == (head, ("other.pth",))


def test_outside_of_a_checkout_nothing_is_known(tmp_path: Path) -> None:
    assert state(tmp_path) == (None, None)
    (tmp_path / ".git").write_text("gitdir: /nowhere\n")
    assert state(tmp_path) == (None, None)
