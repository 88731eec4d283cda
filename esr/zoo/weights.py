"""Which file a network's weights come from: found, fetched and checked, but not opened.

`auto` takes the first of: the published file in a zoo folder, the published file from the network, the
bundled file. The zoo folders are those in `ESR_ZOO` (several are separated as in `PATH`), the user's cache
and the installed `esr.model_zoo`; for a participant's YAML its own folder comes first. With `ESR_OFFLINE=1`
nothing is downloaded.
"""

import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import platformdirs

from esr.config.schema import ModelConf, network_name
from esr.errors import WeightsError
from esr.text import did_you_mean
from esr.zoo import digests
from esr.zoo.digests import download_held, recorded
from esr.zoo.download import PATIENCE, FetchError, Patience, Progress, mismatch, refuse_offline, sha256_of

__all__ = ["NoWeightsError", "WeightsFile", "own_folder", "resolve", "sha256_of", "zoo_folders"]

CHOICES = ("auto", "published", "bundled", "random")
HASTY = Patience(connect_s=1.5, stall_s=3.0, slow_s=10.0, attempts=2)
"""Where bundled weights can stand in, nobody waits long for a firewall or a server that keeps silent."""
SHIPPED = Path(__file__).parents[1] / "model_zoo"
OTHERWISE = "pass weights=random or weights=PATH (baseline_weights=... for the baseline)"


class NoWeightsError(WeightsError):
    """There is no such file; the message in two halves, for who asks by another setting than `weights`.

    Args:
        fault: What is missing, and what would help whoever asks, as the beginning of a sentence.
        otherwise: Its end: other choices for `weights`.
    """

    def __init__(self, fault: str, otherwise: str = OTHERWISE) -> None:
        super().__init__(f"{fault} {otherwise}")
        self.fault = fault


@dataclass(frozen=True)
class WeightsFile:
    """The weights that were chosen, as a record keeps them."""

    source: str
    """`published` (the checkpoint that the network's YAML names), `bundled`, `random` or `path`."""
    path: Path | None = None
    """Absolute; none for `random`."""
    sha256: str | None = None
    """Digest as computed here, whether one was stated or not."""
    bytes: int | None = None
    note: str | None = None
    """What the user should know: why the bundled file stands in for the published one."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as in a record."""
        return {**asdict(self), "path": None if self.path is None else str(self.path)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "WeightsFile":
        """The inverse of `as_dict`."""
        return cls(**{**plain, "path": None if plain["path"] is None else Path(plain["path"])})


def resolve(model: ModelConf, weights: str, *, progress: Progress | None = None) -> WeightsFile:
    """Chooses the weights of a network; size and digest are checked wherever the checkpoint states them.

    Args:
        model: the network; `checkpoint` says which file was published, `source` which YAML says so.
        weights: `auto`, `published`, `bundled`, `random`, or the path of a file, relative to the working
            directory (`./random` for a file of that name).
        progress: called with the bytes so far and in all while the published file is downloaded.

    Raises:
        WeightsError: there are no such weights, they cannot be fetched, or they are not what is stated.
    """
    if weights == "random":
        return WeightsFile("random")
    if weights not in CHOICES:
        return _given(weights)
    bundled = None if weights == "published" else _bundled(model)
    if bundled and (weights == "bundled" or not model.checkpoint.file):
        return bundled
    if weights == "bundled":
        raise NoWeightsError(
            f"{network_name(model)} has no bundled weights:", f"pass weights=auto, or {OTHERWISE}"
        )
    if not model.checkpoint.file:
        where = model.source or f"conf/model/{network_name(model)}.yaml"
        raise NoWeightsError(
            f"{network_name(model)} has no weights, {where} names none: set checkpoint.file there, or"
        )
    try:
        return _found(model) or _fetched(model, progress, HASTY if bundled else PATIENCE)
    except FetchError as error:
        if bundled:
            return replace(bundled, note=f"bundled weights, because {error.fault}")
        raise _unavailable(model, error) from error


def zoo_folders() -> list[Path]:
    """Where published files are looked for, in this order; the folders need not exist."""
    return [*_own_folders(), SHIPPED]


def own_folder() -> Path | None:
    """The first zoo folder that can be written to, where published files are kept; none if there is none."""
    return next(filter(_is_writable, _own_folders()), None)


def _own_folders() -> list[Path]:
    """The zoo folders that are the user's, and so may be written to."""
    parts = os.environ.get("ESR_ZOO", "").split(os.pathsep)
    stated = [Path(os.path.expanduser(part)).absolute() for part in parts if part]
    cache = platformdirs.user_cache_path("esr") / "zoo"
    return [*stated, cache] if cache.is_absolute() else stated  # relative for a user without a home


def _bundled(model: ModelConf) -> WeightsFile | None:
    """The file that ships with esr, for its own networks only: a participant may have kept a name."""
    path = SHIPPED / f"{network_name(model)}.safetensors"
    if model.source or not path.is_file():
        return None
    return WeightsFile("bundled", path, sha256_of(path), path.stat().st_size)


def _given(weights: str) -> WeightsFile:
    path = Path(os.path.expanduser(weights)).absolute()
    if weights and path.is_dir():
        raise WeightsError(f"weights={weights} is a folder: name the file in it")
    if not os.path.isfile(path):
        raise WeightsError(
            f"weights={weights}: no such file, and no such choice; {did_you_mean(weights, CHOICES)}"
        )
    try:
        return WeightsFile("path", path, sha256_of(path), path.stat().st_size)
    except OSError as error:
        raise WeightsError(
            f"weights={weights} cannot be read ({error.strerror}): make it readable"
        ) from error


def _places(model: ModelConf, folders: list[Path]) -> list[Path]:
    """Where the published file may stand: beside a participant's YAML, then in the zoo folders."""
    file = Path(os.path.expanduser(model.checkpoint.file or ""))
    if file.is_absolute():
        return [file]
    beside = [Path(model.source).parent.absolute() / file] if model.source else []
    return [*beside, *(folder / file.name for folder in folders)]


def _found(model: ModelConf) -> WeightsFile | None:
    """The published file where it is there already; refused if it is another one."""
    path = next(filter(os.path.isfile, _places(model, zoo_folders())), None)
    if path is None:
        return None
    try:
        stated = model.checkpoint.sha256
        fault = mismatch(path, model.checkpoint.bytes, stated or recorded(path))
        if fault:
            fault += "" if stated else f" (by {path.parent / digests.NAME}, from the first download)"
            raise WeightsError(
                f"{network_name(model)}: {path} {fault}, so it is not the published file: move it away to have that "
                f"fetched, or pass weights={path} to use this one"
            )
        return WeightsFile("published", path, sha256_of(path), path.stat().st_size)
    except OSError as error:
        raise WeightsError(
            f"{network_name(model)}: {path} cannot be read ({error.strerror}): make it readable"
        ) from error


def _fetched(model: ModelConf, progress: Progress | None, patience: Patience) -> WeightsFile:
    checkpoint = model.checkpoint
    file = Path(checkpoint.file or "").name
    if not checkpoint.url:
        folders = ", ".join(str(place.parent) for place in _places(model, zoo_folders()))
        raise FetchError(
            f"{file} is not in {folders}, and checkpoint.url names no place to fetch it from", "set it"
        )
    refuse_offline(file)
    target = next((place for place in _places(model, _own_folders()) if _is_writable(place.parent)), None)
    if target is None:
        raise FetchError(f"{file} can be kept nowhere, no zoo folder is writable", "set ESR_ZOO=FOLDER")
    download_held(
        checkpoint.url,
        target,
        bytes=checkpoint.bytes,
        sha256=checkpoint.sha256,
        progress=progress,
        patience=patience,
    )
    return WeightsFile("published", target, sha256_of(target), target.stat().st_size)


def _unavailable(model: ModelConf, error: FetchError) -> NoWeightsError:
    """All that can be done where neither the zoo folders, nor the network, nor esr itself has the file."""
    checkpoint = model.checkpoint
    by_hand = f"download {checkpoint.url}" if checkpoint.url else f"put {checkpoint.file}"
    folder = _places(model, zoo_folders())[0].parent
    return NoWeightsError(
        f"{network_name(model)}: {error.fault}; {error.remedy}, or {by_hand} into {folder}, or"
    )


def _is_writable(folder: Path) -> bool:
    """Whether a file can be made there; permissions alone don't tell on a read-only file system."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
