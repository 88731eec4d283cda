"""A challenge's repository as a source of weights: files, commit and differences from it. Nothing in it is run."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from esr.config.repository import read_layout
from esr.config.schema import ModelConf, RepositoryConf
from esr.errors import WeightsError
from esr.records.network import Loading, OpenedFile, Repository, Weights
from esr.text import listed, shown_path
from esr.zoo.download import sha256_of, sha256_of_all

_SOURCES = (".py", ".cu", ".cuh", ".cpp", ".cc", ".c", ".h", ".hpp", ".json", ".yaml", ".yml", ".toml")
_MOST_FILES = 20_000
_MOST_CHANGED = 1000
_GIT_SECONDS = 60
_MOST_ABOVE = 2
"""Folders above a repository in which its checkout is looked for."""
_MOST_POINTER = 1024
"""Bytes of a Git LFS pointer."""


def weights_of(model: ModelConf, choice: str) -> Weights:
    """The weight file that a repository's script names for a network.

    Raises:
        WeightsError: It is not there, or another choice than `auto`, `published` and `random` was made.
    """
    conf = model.repository
    if choice == "random":
        return Weights("random")
    if choice not in ("auto", "published"):
        raise WeightsError(
            f"weights={choice}: a repository's script loads its own weights; leave it out, or pass random"
        )
    layout = read_layout(Path(conf.root or ""))
    named = layout.entry(conf.id).weights
    absent = layout.missing(layout.entry(conf.id))
    there = [layout.root / name for name in named if name not in absent]
    if named and not there:
        what = "a Git LFS pointer" if os.path.isfile(layout.root / named[0]) else f"not in {shown_path(layout.root)}"
        raise WeightsError(f"id={conf.id}: {listed(named)} is {what}: fetch it (git lfs pull), or weights=random")
    if not there:
        return Weights("repository")
    return Weights("repository", str(there[0]), sha256_of(there[0]), there[0].stat().st_size)


def provenance(conf: RepositoryConf, loading: Loading) -> Loading:
    """What a worker reports about loading, with the repository's state and the digests of opened files."""
    root = Path(conf.root or "")
    files = tuple(OpenedFile(one.path, _digest(root, one.path)) for one in loading.files)
    commit, changed = state(root)
    repository = Repository(str(root), int(conf.id or 0), commit, changed)
    return msgspec.structs.replace(loading, files=files, repository=repository)


def _digest(root: Path, name: str) -> str | None:
    """sha256 of a regular file inside the repository; a worker's word makes no other file be read."""
    path = (root / name).resolve()
    try:
        return sha256_of(path) if path.is_relative_to(root.resolve()) and path.is_file() else None
    except OSError:
        return None


def source_digest(root: Path) -> str:
    """sha256 over the names and contents of the repository's source files."""
    return sha256_of_all({str(path.relative_to(root)): path for path in _sources(root)})


def _sources(root: Path) -> list[Path]:
    found: list[Path] = []
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith(".") and name != "__pycache__")
        found += [Path(folder, name) for name in sorted(files) if name.endswith(_SOURCES)]
        if len(found) > _MOST_FILES:
            raise WeightsError(
                f"{shown_path(root)}: more than {_MOST_FILES} source files: not a challenge's repository"
            )
    return [path for path in found if path.is_file()]


def state(root: Path) -> tuple[str | None, tuple[str, ...] | None]:
    """Commit of a checkout, and the files that differ from it; the repository may be a folder of the checkout.

    The repository's own git configuration, which can name programs to run, is not read: its objects are looked at
    through an empty git directory.

    Returns:
        `None` outside a checkout; `None` for the files where git is not installed or its objects are incomplete.
    """
    top = next((place for place in (root, *root.parents[:_MOST_ABOVE]) if (place / ".git").exists()), root)
    folder = _git_folder(top)
    commit = _head(folder) if folder else None
    if folder is None or commit is None or shutil.which("git") is None:
        return commit if top == root else None, None
    with tempfile.TemporaryDirectory() as scratch:
        git = Path(scratch, "git")
        environment = {"PATH": os.environ.get("PATH", ""), "HOME": scratch, "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
        settings = ("-c", "core.excludesFile=/dev/null", "-c", "core.fileMode=false")
        command = ["git", f"--git-dir={git}", f"--work-tree={top}", *settings]
        try:
            _run(["git", "init", "-q", "--bare", "--template=", str(git)], environment, Path(scratch))
            objects = _common(folder) / "objects"
            (git / "objects" / "info" / "alternates").write_text(f"{objects}\n", encoding="utf-8")
            asked = (
                ["read-tree", commit],
                ["update-index", "-q", "--really-refresh"],
                ["ls-files", "-z"],
                ["diff-files", "--relative", "--name-only", "-z"],
                ["ls-files", "--others", "--exclude-standard", "-z"],
            )
            *_, tracked, differing, others = (_run([*command, *words], environment, root) for words in asked)
            changed = [name for name in differing.split("\0") if name]
            if "filter=lfs" in _text(top / ".gitattributes"):
                changed = [one for one in changed if not _is_fetched(one, root, command, environment)]
        except (OSError, subprocess.SubprocessError):
            return commit if top == root else None, None
    if not tracked and top != root:  # it only lies in someone's checkout
        return None, None
    names = [*changed, *(name for name in others.split("\0") if name)]
    return commit, tuple(sorted(name for name in names if "__pycache__" not in name)[:_MOST_CHANGED])


def _is_fetched(name: str, root: Path, command: Sequence[str], environment: dict[str, str]) -> bool:
    """True for a file that Git LFS has put in the place of the pointer that is committed."""
    if int(_run([*command, "cat-file", "-s", f":./{name}"], environment, root)) > _MOST_POINTER:
        return False
    pointer = _run([*command, "cat-file", "blob", f":./{name}"], environment, root)
    digest = re.search(r"^oid sha256:([0-9a-f]{64})$", pointer, re.MULTILINE)
    return digest is not None and digest[1] == _digest(root, name)


def _run(command: Sequence[str], environment: dict[str, str], folder: Path) -> str:
    check = "update-index" not in command  # which tells by its exit code that files differ
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, check=check, timeout=_GIT_SECONDS)
    return done.stdout.decode(errors="replace")


def _git_folder(root: Path) -> Path | None:
    entry = root / ".git"
    if entry.is_dir():
        return entry
    path = _text(entry).partition("gitdir: ")[2].strip()  # of a worktree or a submodule
    return (root / path).resolve() if path else None


def _common(folder: Path) -> Path:
    """The git directory that a worktree shares with others."""
    return (folder / _text(folder / "commondir").strip()).resolve()


def _head(folder: Path) -> str | None:
    """The commit that is checked out, read from git's files."""
    head = _text(folder / "HEAD").strip()
    if not head.startswith("ref: "):
        return _commit(head)
    name = head.removeprefix("ref: ")
    if ".." in name:
        return None
    loose = _common(folder) / name
    if loose.is_file():
        return _commit(_text(loose))
    packed = _text(_common(folder) / "packed-refs").splitlines()
    return next((_commit(line) for line in packed if line.endswith(f" {name}")), None)


def _text(file: Path) -> str:
    """The text of a small file; empty where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _commit(text: str) -> str | None:
    word = text.split(maxsplit=1)[0] if text.split() else ""
    return word if len(word) in (40, 64) and not word.strip("0123456789abcdef") else None
