"""The layouts of data sets on disk, recognised by the names of their folders and files."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from platformdirs import user_data_path

from esr.config.schema import SCALE, DataConf
from esr.data.names import Split, folded, is_hr, lr_scale, pair_names, results_among, split
from esr.errors import DataError
from esr.images.pixels import SUFFIXES
from esr.system.files import expanded
from esr.text import shown_path

HR_WORDS = r"hr|gt|hq|high_?res(?:olution)?|ground_?truth|targets?|labels?|originals?"
"""Names of HR folders: `HR`, `DIV2K_valid_HR`, `GTmod12`, `hq`, `target`."""

LR_WORDS = r"lr|lq|low_?res(?:olution)?|inputs?"
"""Names of LR folders: `LR`, `lq`, `input`, `LRx4`, `LR_bicubic/X4`, `DIV2K_valid_LR_unknown/X4`, `LRblurdown_x4`."""

KINDS = (
    r"bicubic|bic|bi|bd|dn|unknown|mild|wild|difficult|blur_?down|blur|down(?:sampled|scaled)?|matlab|"
    r"images?|sub|mod_?\d+"
)
"""The way in which LR was made, or a cropping, in such a name."""

SCALES = r"x\d+|\d+x|\d+"
"""The scale in such a name; an LR folder may be called by it alone: `X4`."""

FLAT_FOLDER = re.compile(r"image_srf_(\d+)")
"""A folder that holds both LR and HR, distinguished by their file names."""

EXAMPLES = "HR, GT, GTmod12, hq, target; LR, LR_x4, LRx4, LR_bicubic/X4, LR_unknown/X4, lq, input, X4"
"""For messages."""

FolderRole = Literal["hr", "lr", "both", "other_scale", "unknown"]

_NEITHER = "neither HR nor LR"
_REASONS = {"other_scale": "another scale", "unknown": "no known name"}
"""Role of a folder with images beside a set's -> the reason why they are not part of it."""
_PAIR = 2
_UNREAD = re.compile(r"\.(?:gif|p[pgnb]m|tga|jp2|j2k|jxl|avif|hei[cf]|exr|hdr|psd|dng|cr2|nef|arw|npy)", re.IGNORECASE)
"""Suffixes of images that are not read."""
_LONGEST = 60  # characters of a name that is taken apart
_DEPTH = 4  # LR/LRBI/Set5/x4
_MOST_FOLDERS = 2000
"""Folders looked at below a root, which may be somebody's home."""


@dataclass(frozen=True)
class Skipped:
    """Images beside a set's that are not part of it."""

    where: str
    images: int
    reason: str

    def __str__(self) -> str:
        """As in a note."""
        return f"{shown_path(self.where)} ({self.images} image{'s' * (self.images != 1)}, {self.reason})"


@dataclass(frozen=True)
class Found:
    """The files of a set."""

    hr: list[Path] = field(default_factory=list)
    lr: list[Path] = field(default_factory=list)
    lr_folder: str | None = None
    """As the user knows it: relative to the root, or as given."""
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True)
class _Folder:
    """A folder with images below a root."""

    path: Path
    below: str
    """Relative to the root; `.` for the root itself."""
    images: list[Path]
    role: FolderRole
    named: bool = False
    """Its name begins with the set's."""


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
    if root is None:
        return None
    found = find_files(DataConf(name=name, root=str(root)))
    return root, len(found.hr or found.lr)


def is_laid_out(name: str, root: Path) -> bool:
    """True if a folder contains those of a known layout, even empty ones."""
    return any(role_of(below, name)[0] != "unknown" for _, below in _walk(root, 1) if below != ".")


def find_files(conf: DataConf) -> Found:
    """HR and LR files of a set; at least one of the lists is not empty.

    Without `data.root`, `data.hr` and `data.lr`, the set is looked for below `data_home()`.

    Raises:
        DataError: The set or one of its folders is missing, empty or unreadable, two folders have one purpose, or a
            folder with another name looks like the set's LR.
    """
    if not (conf.hr or conf.lr):
        return _recognised(_root(conf), conf)
    base = expanded(conf.root or ".")
    hr = base / expanded(conf.hr) if conf.hr else None
    lr = base / expanded(conf.lr) if conf.lr else None
    if hr is not None and hr == lr:
        parts = split(image_files(hr, _remedy(conf)))
        return Found(parts.hr, parts.lr, conf.lr, tuple(_left_out(parts.skipped, conf.hr or "", _NEITHER)))
    found_hr = image_files(hr, _remedy(conf)) if hr else []
    return Found(found_hr, image_files(lr, _remedy(conf)) if lr else [], conf.lr)


def role_of(below: str, name: str) -> tuple[FolderRole, bool]:
    """The role of a folder by its path below a root, and True where the path begins with the set's name.

    >>> role_of("LRblurdown_x4", "set5"), role_of("DIV2K_valid_LR_bicubic/X4", "div2k_valid")
    (('lr', False), ('lr', True))
    >>> role_of("LR_bicubic/X2", "set5"), role_of("results", "set5")
    (('other_scale', False), ('unknown', False))
    """
    own = re.sub(r"[-\s.]", "_", folded(name))
    parts = [re.sub(r"[-\s.]", "_", folded(part)) for part in below.split("/")]
    named = parts[0].startswith(f"{own}_")
    parts[0] = parts[0].removeprefix(f"{own}_")
    text = "_".join(part for part in parts if part != own)
    if flat := FLAT_FOLDER.fullmatch(text):
        return ("both" if int(flat[1]) == SCALE else "other_scale"), named
    for role, words in _ROLES:
        token = rf"{words}|{KINDS}|{SCALES}"
        if len(text) > _LONGEST or not re.fullmatch(rf"(?:(?:{token})_?)+", text):
            continue
        scales = [int(re.sub(r"\D", "", one)) for one in re.findall(token, text) if re.fullmatch(SCALES, one)]
        if re.match(words, text) or (role == "lr" and re.search(r"x\d|\dx", text)):
            return (role if all(scale == SCALE for scale in scales) else "other_scale"), named
    return "unknown", named


_ROLES: tuple[tuple[FolderRole, str], ...] = (("hr", HR_WORDS), ("lr", LR_WORDS))


def _recognised(root: Path, conf: DataConf) -> Found:
    folders = list(_folders(root, conf.name))
    top = next((one for one in folders if one.below == "."), None)
    hr = _only([one for one in folders if one.role == "hr"], root)
    lr = _only([one for one in folders if one.role == "lr"], root)
    if hr is None and lr is not None:
        hr = lr if any(is_hr(file.stem) for file in lr.images) else top  # a folder X4 with both, or HR above LR
    elif hr is None:
        hr = lr = next((one for one in folders if one.role == "both"), top)
    if hr is None and lr is None:
        image_files(root, _remedy(conf))  # says what is missing
    parts = _parts(hr, lr, top)
    used = [one for one in (hr, lr) if one is not None]
    named = any(one.named for one in used)  # sets that lie side by side are told apart by their names
    others = [one for one in folders if one not in used and (one.named or not named)]
    if not (parts.hr and parts.lr):
        _refuse_counterpart(parts.hr or parts.lr, others)
    if hr is lr and not parts.lr:
        _refuse_quarters(parts.hr)
    skipped = _left_out(parts.skipped, used[0].below, _NEITHER)
    for path, below in {one.path: one.below for one in used}.items():
        unread = [child for child in _children(path) if _UNREAD.fullmatch(child.suffix) and child.name[0] != "."]
        skipped += _left_out(unread, below, "of a kind that is not read; save them as PNG")
    skipped += [Skipped(one.below, len(one.images), _REASONS.get(one.role, "another version")) for one in others]
    return Found(parts.hr, parts.lr, used[-1].below if parts.lr else None, tuple(skipped))


def _parts(hr: _Folder | None, lr: _Folder | None, top: _Folder | None) -> Split:
    """The files of both roles, of which one folder may hold both."""
    if hr is not None and hr is lr:
        return split(hr.images)
    images = lr.images if lr else []
    found = [file for file in images if lr_scale(file.stem) in (None, SCALE)] or images
    skipped = [file for file in images if file not in found]
    if hr is None:
        return Split([], found, skipped)
    if hr is top:
        above = split(hr.images, found)
        return Split(above.hr, found, [*skipped, *above.lr, *above.skipped])
    results = results_among(hr.images, found)
    return Split([file for file in hr.images if file not in results], found, [*skipped, *results])


def _left_out(files: Sequence[Path], where: str, reason: str) -> list[Skipped]:
    """A note on files of one folder, if there are any."""
    place = "" if where == "." else f" in {where}"
    return [Skipped(f"{some(files)}{place}", len(files), reason)] if files else []


def _only(candidates: list[_Folder], root: Path) -> _Folder | None:
    """The one folder for a purpose: those with the set's name first, and of these bicubic LR, the challenge's."""
    named = [one for one in candidates if one.named]
    bicubic = [one for one in named if "bicubic" in folded(one.below)]
    chosen = bicubic if len(named) > 1 and len(bicubic) == 1 else named or candidates
    if chosen[1:]:
        names = " and ".join(shown_path(one.below) for one in chosen)
        raise DataError(f"{root} holds both {names}; keep one, or choose with data.hr=FOLDER and data.lr=FOLDER")
    return chosen[0] if chosen else None


def _refuse_counterpart(files: Sequence[Path], others: Sequence[_Folder]) -> None:
    """Refuses to leave out a folder whose images have the set's names and another size: they are its LR or HR.

    Raises:
        DataError: There is one.
    """
    for one in others:
        if one.role == "other_scale":
            continue
        pairs = pair_names(one.images, files)[0] or [(b, a) for a, b in pair_names(files, one.images)[0]]
        areas = [_area(path) for path in pairs[0]] if pairs else []
        if not all(areas) or len(set(areas)) < 2:  # noqa: PLR2004 - unreadable, or the results of another method
            continue
        key, other_key = ("lr", "hr") if areas[0] < areas[1] else ("hr", "lr")
        own = shown_path(str(files[0].parent))
        folder = shown_path(str(one.path))
        raise DataError(
            f"{folder} holds {len(one.images)} images with the names of {own}, and its own name does not say what they "
            f"are: pass data.{key}={folder} data.{other_key}={own} to use them as {key.upper()}, or "
            f"data.{other_key}={own} alone to leave them out (known names: {EXAMPLES})"
        )


def _refuse_quarters(files: Sequence[Path]) -> None:
    """Refuses images of one folder that form pairs of names that begin or end alike, one a quarter of the other.

    Raises:
        DataError: They do: these are LR and HR, and would all count as HR.
    """
    for mark in (r"[_\-. ][^_\-. ]+$", r"^[^_\-. ]+[_\-. ]"):
        groups: dict[str, list[Path]] = {}
        for file in files:
            groups.setdefault(folded(re.sub(mark, "", file.stem)), []).append(file)
        if any(len(group) != _PAIR for group in groups.values()):
            continue
        pairs = [sorted(group, key=_area) for group in groups.values()]
        if all(_is_quarter(*pair) for pair in pairs):
            lr, hr = pairs[0]
            raise DataError(
                f"{shown_path(str(lr))} is a quarter of {shown_path(hr.name)}, and so on; no name says which are LR: "
                f"call them NAME_LR4 and NAME_HR, or put them into folders LR and HR; data.hr=FOLDER takes all as HR"
            )


def _is_quarter(small: Path, large: Path) -> bool:
    from esr.images.files import size_of  # noqa: PLC0415 - as below

    sizes = size_of(small), size_of(large)
    return None not in sizes and [side // SCALE for side in sizes[1] or ()] == [*(sizes[0] or ())]


def _area(path: Path) -> int:
    from esr.images.files import size_of  # noqa: PLC0415 - fetching and skipping do without OpenCV

    height, width = size_of(path) or (0, 0)
    return height * width


def _folders(root: Path, name: str) -> Iterator[_Folder]:
    """The folders with images at and below a root."""
    for path, below in _walk(root, _DEPTH):
        images = [child for child in _children(path) if _is_image(child)]
        if images:
            yield _Folder(path, below, images, *(("unknown", False) if below == "." else role_of(below, name)))


def _walk(root: Path, depth: int) -> Iterator[tuple[Path, str]]:
    """Folders below a root with their relative paths, the root first; hidden ones are left out."""
    waiting = [(root, ".", 0)]
    for count, (path, below, level) in enumerate(waiting):
        if count >= _MOST_FOLDERS:
            return
        yield path, below
        if level < depth:
            for child in _children(path):
                if child.is_dir() and not child.name.startswith("."):
                    waiting.append((child, child.name if below == "." else f"{below}/{child.name}", level + 1))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not path.is_dir()


def _root(conf: DataConf) -> Path:
    if conf.root:
        root = expanded(conf.root)
        if not root.is_dir():
            image_files(root, _remedy(conf))
        return root
    home = data_home()
    if found := _root_below(home, conf.name):
        return found
    raise DataError(
        f"no images for {conf.name}: pass data.root=FOLDER, or put them into {home / conf.name}{_where(conf)}"
    )


def _root_below(home: Path, name: str) -> Path | None:
    own = [child for child in _children(home) if folded(child.name) == folded(name) and child.is_dir()]
    if own[1:]:
        raise DataError(f"{home} holds both {' and '.join(child.name for child in own)}; keep one")
    if own:
        return own[0]
    first = folded(name.partition("_")[0])
    for shared in (*(child for child in _children(home) if folded(child.name) == first), home):  # DIV2K's sets
        if any(role_of(below, name) in (("hr", True), ("lr", True)) for _, below in _walk(shared, 1)):
            return shared
    return None


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
    images = [child for child in visible if _is_image(child)]
    if not images:
        instead = f" but {some(visible)}" if visible else ""
        raise DataError(f"{label} holds no PNG, BMP, JPEG, TIFF or WebP image{instead}; {remedy}")
    return images


def _remedy(conf: DataConf) -> str:
    if conf.hr or conf.lr:
        return "pass the images' own folders as data.hr=FOLDER and data.lr=FOLDER"
    return f"pass data.root=FOLDER with images of {conf.name} in it or in folders such as {EXAMPLES}{_where(conf)}"


def _where(conf: DataConf) -> str:
    return f"; get them from {conf.url}" if conf.url else ""


def some(paths: Sequence[Path]) -> str:
    """The first few of many files, for an error message."""
    shown = ", ".join(shown_path(path.name) for path in paths[:3])
    return f"{shown} and {len(paths) - 3} more" if paths[3:] else shown
