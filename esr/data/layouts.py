"""The layouts of data sets on disk, recognised by the names of their folders."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from platformdirs import user_data_path

from esr.config.schema import DataConf
from esr.errors import DataError
from esr.images.pixels import SUFFIXES

HR_FOLDERS = (("{name}_HR",), ("HR", "GTmod12", "GT"))
"""HR folders below a root, in upper or lower case; the first group with an existing folder counts."""

LR_FOLDERS = (("{name}_LR_bicubic/X4", "{name}_LR"), ("LR_x4", "LR_bicubic/X4", "LRbicx4", "LR"))
"""LR folders below a root, likewise."""

FLAT_FOLDER = "image_SRF_4"
"""A folder that holds both LR and HR, distinguished by their file names."""

LR_MARK = re.compile(r"([_-]LR(BI|bic)?([_-]?x4)?|[_-]?x4)$", re.IGNORECASE)
"""The mark that ends the name of an LR file."""


def data_home() -> Path:
    """The home of all data sets: `$ESR_DATA`, or else `data` in the user's data folder of `esr`."""
    given = os.environ.get("ESR_DATA")
    return expanded(given) if given else user_data_path("esr") / "data"


def find(name: str, home: Path) -> tuple[Path, int] | None:
    """A set's root below a data folder and its number of images there; `None` if it is not there.

    Raises:
        DataError: Its folder is there but holds no image or cannot be read.
    """
    root = _root_below(home, name)
    return None if root is None else (root, images_at(name, root))


def images_at(name: str, root: Path) -> int:
    """The number of images of a set in a folder, in any layout that `load_dataset` takes.

    Raises:
        DataError: There are none, or the folder cannot be read.
    """
    return max(map(len, find_files(DataConf(name=name, root=str(root)))))


def is_laid_out(name: str, root: Path) -> bool:
    """True if a folder contains those of a known layout, even empty ones."""
    folders = (_known_folder(root, groups, name) for groups in (HR_FOLDERS, LR_FOLDERS))
    return any(folders) or bool(_below(root, FLAT_FOLDER))


def expanded(text: str) -> Path:
    """A path with its `~` resolved."""
    return Path(os.path.expanduser(text))  # unlike `Path.expanduser`, leaves an unknown user's home as it is


def find_files(conf: DataConf) -> tuple[list[Path], list[Path]]:
    """HR and LR files of a set; at least one of the lists is not empty.

    Without `data.root`, `data.hr` and `data.lr`, the set is looked for below `data_home()`.

    Raises:
        DataError: The set or one of its folders is missing, empty or unreadable.
    """
    if conf.hr or conf.lr:
        base = expanded(conf.root or ".")
        hr = base / expanded(conf.hr) if conf.hr else None
        lr = base / expanded(conf.lr) if conf.lr else None
    else:
        root = _root(conf)
        hr, lr = (_known_folder(root, groups, conf.name) for groups in (HR_FOLDERS, LR_FOLDERS))
        if hr is None and lr is None:
            hr = lr = next(iter(_below(root, FLAT_FOLDER)), root)
    if hr is not None and hr == lr:
        both = image_files(hr, _remedy(conf))
        return ([f for f in both if not LR_MARK.search(f.stem)], [f for f in both if LR_MARK.search(f.stem)])
    return (image_files(hr, _remedy(conf)) if hr else [], image_files(lr, _remedy(conf)) if lr else [])


def _root(conf: DataConf) -> Path:
    if conf.root:
        return expanded(conf.root)
    home = data_home()
    if root := _root_below(home, conf.name):
        return root
    raise DataError(
        f"no images for {conf.name}: pass data.root=FOLDER, or put them into {home / conf.name}{_where(conf)}"
    )


def _root_below(home: Path, name: str) -> Path | None:
    if own := _known_folder(home, (("{name}",),), name):
        return own
    for shared in (*_below(home, name.partition("_")[0]), home):  # DIV2K's sets lie side by side
        if any(_known_folder(shared, groups[:1], name) for groups in (HR_FOLDERS, LR_FOLDERS)):
            return shared
    return None


def _known_folder(root: Path, groups: Sequence[Sequence[str]], name: str) -> Path | None:
    for group in groups:
        found = [folder for known in group for folder in _below(root, known.format(name=name))]
        if found[1:]:
            names = " and ".join(str(folder.relative_to(root)) for folder in found)
            raise DataError(f"{root} holds both {names}; keep one, or choose with data.hr=FOLDER and data.lr=FOLDER")
        if found:
            return found[0]
    return None


def _below(root: Path, path: str) -> list[Path]:
    """Folders below `root` that match `path` in upper or lower case."""
    found = [root]
    for part in path.casefold().split("/"):
        found = [child for folder in found for child in _children(folder) if child.name.casefold() == part]
    return [folder for folder in found if folder.is_dir()]


def _children(folder: Path) -> list[Path]:
    """The sorted entries of a folder; none if it does not exist."""
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror or error}") from error


def image_files(folder: Path, remedy: str, label: str = "") -> list[Path]:
    """The images directly in a folder except hidden ones, sorted by name.

    Args:
        folder: The folder to list.
        remedy: Advice that ends an error message.
        label: The user's name for the folder; by default its path.

    Raises:
        DataError: The folder is missing, unreadable, or holds no image.
    """
    label = label or str(folder)
    visible = [child for child in _children(folder) if not child.name.startswith(".")]
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "is not there"
        raise DataError(f"{label} {what}; {remedy}")
    images = [child for child in visible if child.suffix.lower() in SUFFIXES and not child.is_dir()]
    if not images:
        instead = f" but {some(visible)}" if visible else ""
        raise DataError(f"{label} holds no PNG, BMP, JPEG, TIFF or WebP image{instead}; {remedy}")
    return images


def _remedy(conf: DataConf) -> str:
    if conf.hr or conf.lr:
        return "pass the images' own folders as data.hr=FOLDER and data.lr=FOLDER"
    known = ", ".join((*HR_FOLDERS[1], *LR_FOLDERS[1]))
    return f"pass data.root=FOLDER with images of {conf.name} in it or in {known}{_where(conf)}"


def _where(conf: DataConf) -> str:
    return f"; get them from {conf.url}" if conf.url else ""


def some(paths: Sequence[Path]) -> str:
    """The first few of many files, for an error message."""
    shown = ", ".join(path.name for path in paths[:3])
    return f"{shown} and {len(paths) - 3} more" if paths[3:] else shown
