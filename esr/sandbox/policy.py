"""The policy of one worker: what it may read, where it may write, what is hidden from it."""

import importlib.util
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc", "/opt", "/nix", "/sys")
"""Programs, libraries and the description of the machine."""
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".npy", ".zip")
"""Left out of a folder that is both hidden and needed, as where the images lie beside the network."""
_DROPPED = ("ESR_DATA", "ESR_OUT", "ESR_LOCK_DIR")
"""Environment variables that tell where images and results are."""
_PATHS = ("LD_LIBRARY_PATH", "PYTHONPATH")
_IN_SCRATCH = {
    "HOME": "",
    "TMPDIR": "",
    "XDG_CACHE_HOME": "cache",
    "XDG_CONFIG_HOME": "config",
    "XDG_DATA_HOME": "data",
    "TORCH_HOME": "torch",
    "TORCH_EXTENSIONS_DIR": "extensions",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "TRITON_CACHE_DIR": "triton",
    "CUDA_CACHE_PATH": "cuda",
    "MPLCONFIGDIR": "matplotlib",
}
"""Environment variable -> folder in scratch."""


class Policy(msgspec.Struct, frozen=True):
    """Paths are absolute and real."""

    readable: tuple[str, ...]
    scratch: str
    """The only folder that can be written."""
    hidden: tuple[str, ...] = ()
    canary: str = ""
    """A file that no rule allows: it can be opened where Landlock does not hold."""

    def grants(self) -> Iterator[tuple[str, bool]]:
        """Files and folders to read, each with True if it may only be listed, as Python does to find modules.

        A readable folder is given in pieces where something below is hidden; names of the hidden things show.
        """
        for root in self.readable:
            mixed = any(_is_within(root, path) for path in self.hidden)
            inside = [path for path in self.hidden if _is_within(path, root) and path != root]
            yield from _pieces(root, inside, mixed=mixed)

    def coverable(self) -> list[str]:
        """Hidden paths that hold nothing readable, so that a mount may cover them."""
        return [path for path in self.hidden if not any(_is_within(root, path) for root in self.readable)]


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _pieces(path: str, hidden: Sequence[str], *, mixed: bool) -> Iterator[tuple[str, bool]]:
    if path in hidden:
        return
    inside = [one for one in hidden if _is_within(one, path)]
    if not os.path.isdir(path) or not (inside or mixed):
        yield path, False
        return
    yield path, True
    with os.scandir(path) as entries:
        for entry in entries:
            left_out = entry.is_symlink() or (mixed and entry.name.lower().endswith(_IMAGES))
            if not left_out:
                yield from _pieces(entry.path, inside, mixed=mixed)


def make(scratch: Path, canary: Path, code: Sequence[Path], hidden: Iterable[Path]) -> Policy:
    """The policy for a network.

    Args:
        scratch: An empty folder.
        canary: A file that stays out of reach.
        code: Folders of the network's own code.
        hidden: Images, records and results.
    """
    package = importlib.util.find_spec("esr")
    own = [Path(place).resolve() for place in (package.submodule_search_locations or () if package else ())]
    links = [entry.resolve() for place in own for entry in place.iterdir() if entry.is_symlink()]
    paths = [part for name in _PATHS for part in os.environ.get(name, "").split(os.pathsep) if part]
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.path.realpath(sys.executable))]
    given: list[str | Path] = [*_SYSTEM, *python, *paths, *(entry for entry in sys.path if entry), *own, *links, *code]
    readable = {os.path.realpath(path) for path in given if os.path.exists(path)} - {"/"}
    hides = {os.path.realpath(path) for path in hidden} - {"/"}  # also what will exist later only
    return Policy(tuple(sorted(readable)), str(scratch), tuple(sorted(hides)), str(canary))


def environment(scratch: Path, given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of a worker: homes and caches are in scratch, and nothing tells where images are."""
    own = {name: str(scratch / folder) for name, folder in _IN_SCRATCH.items()}
    return {name: value for name, value in given.items() if name not in _DROPPED} | own
