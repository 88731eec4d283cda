"""The images of a set, LR and HR matched by name (`0801x4.png` belongs to `0801.png`); no file is opened."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from esr.data.layouts import Found, some
from esr.data.names import folded, hr_name, lr_name, lr_scale, pair_names
from esr.errors import DataError


class PairFiles(NamedTuple):
    """A pair whose images have not been checked yet."""

    name: str
    lr: Path
    """HR's own file where LR is made from it."""
    hr: Path | None


def paired(found: Found) -> list[PairFiles]:
    """The images of a set.

    Raises:
        DataError: A file has no partner, or shares its image's name with another.
    """
    if found.hr and found.lr:
        return _matched(found.lr, found.hr)
    if found.hr:
        return [PairFiles(name, file, file) for name, file in _distinct((hr_name(f.stem), f) for f in found.hr).items()]
    marked = all(lr_scale(file.stem) for file in found.lr)
    named = _distinct((lr_name(file.stem) if marked else file.stem, file) for file in found.lr)
    return [PairFiles(name, file, None) for name, file in named.items()]


def _matched(lr_files: Sequence[Path], hr_files: Sequence[Path]) -> list[PairFiles]:
    hr_by_name = _distinct((hr_name(file.stem), file) for file in hr_files)
    pairs, without_hr, without_lr = pair_names(lr_files, hr_by_name.values())
    names = {file: name for name, file in hr_by_name.items()}
    lr_by_name = _distinct((names[partner], file) for file, partner in pairs)
    for missing, lonely, other in (("HR", without_hr, hr_files[0]), ("LR", without_lr, lr_files[0])):
        if lonely:
            raise DataError(
                f"no {missing} image in {other.parent} belongs to {some(lonely)}; complete the set, "
                "or name the right folders with data.hr=FOLDER and data.lr=FOLDER"
            )
    return [PairFiles(name, lr_by_name[name], hr) for name, hr in hr_by_name.items()]


def _distinct(named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """Files by name; two files with the name of one image are refused."""
    by_name: dict[str, Path] = {}
    first: dict[str, Path] = {}
    for name, file in named:
        other = first.setdefault(folded(name), file)
        if other is not file:
            raise DataError(f"{other} and {file.name} are both the image {name}; remove or rename one")
        by_name[name] = file
    return by_name
