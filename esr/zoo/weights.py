"""Finds a network's weight file, downloads it if necessary and verifies it, but does not open it.

`auto` takes the first of: the published file in a zoo folder, the published file from the network, the
bundled file. The zoo folders are those in `ESR_ZOO` (separated as in `PATH`), the user's cache and the
installed `esr.model_zoo`; for a participant's YAML its own folder comes first. With `ESR_OFFLINE=1` nothing
is downloaded.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import platformdirs

from esr.config.cards import NO_FILE, RECOGNISED, model_names
from esr.config.schema import ModelConf, network_name
from esr.config.terms import WeightsSource
from esr.errors import WeightsError
from esr.records.network import Weights
from esr.system.files import expanded
from esr.text import did_you_mean
from esr.zoo import repository
from esr.zoo.catalogue import Remote
from esr.zoo.connection import Patience
from esr.zoo.download import PATIENCE, BytesDone, FetchError, download, mismatch, refuse_offline, sha256_of

CHOICES = ("auto", "published", "bundled", "random")
HASTY = Patience(connect_s=1.5, stall_s=3.0, slow_s=10.0, attempts=2)
"""Limits where bundled weights can stand in for the published ones: a silent firewall costs a few seconds."""
SHIPPED = Path(__file__).parents[1] / "model_zoo"
OTHERWISE = "pass weights=random or weights=PATH (baseline_weights=... for the baseline)"


MOST_BYTES = 1 << 32
"""Bytes of a weights file that a worker can be sent."""


class NoWeightsError(WeightsError):
    """A missing file; the message in two parts, for callers whose setting is not `weights`.

    Args:
        fault: The missing file and the remedies that do not depend on the setting, as the beginning of a sentence.
        otherwise: Its end: other choices for `weights`.
    """

    def __init__(self, fault: str, otherwise: str = OTHERWISE) -> None:
        super().__init__(f"{fault} {otherwise}".strip())
        self.fault = fault


def resolve(model: ModelConf, weights: str, *, progress: BytesDone | None = None) -> Weights:
    """Chooses the weights of a network; size and digest are checked wherever the checkpoint states them.

    Args:
        model: The network; `checkpoint` describes the published file, `source` is the YAML it comes from.
        weights: `auto`, `published`, `bundled`, `random`, or the path of a file, relative to the working
            directory (`./random` for a file of that name).
        progress: Called during a download.

    Raises:
        WeightsError: There are no such weights, they cannot be fetched, or they are not those stated.
    """
    if model.repository.root is not None:
        return repository.weights_of(model, weights)
    if model._target_ == RECOGNISED and weights in CHOICES:
        raise NoWeightsError(NO_FILE, "")
    if weights == "random":
        return Weights("random")
    if weights not in CHOICES:
        return _given(weights)
    name = network_name(model)
    bundled = None if weights == "published" else _bundled(model)
    if bundled and (weights == "bundled" or not model.checkpoint.file):
        return bundled
    if weights == "bundled":
        raise NoWeightsError(f"{name} has no bundled weights:", f"pass weights=auto, or {OTHERWISE}")
    if not model.checkpoint.file:
        where = model.source or (f"conf/model/{name}.yaml" if name in model_names() else None)
        fault = f"{where} names none: set checkpoint.file there, or" if where else "none were given:"
        raise NoWeightsError(f"{name} has no weights, {fault}")
    remote = Remote.of(model.checkpoint)
    places = _places(model, zoo_folders())
    try:
        path = find(name, remote, places)
        if path is None:
            own = (place for place in _places(model, _own_folders()) if _is_writable(place.parent))
            path = fetch_to(own, remote, places, progress, HASTY if bundled else PATIENCE)
        return _described("path" if model.source else "published", path)  # a participant's own are nobody's
    except FetchError as error:
        if bundled:
            return msgspec.structs.replace(bundled, note=f"bundled weights, because {error.fault}")
        raise NoWeightsError(f"{name}: {error}, or") from error


def read(weights: Weights) -> bytes:
    """The file's bytes, which are those that `resolve` described; empty for random weights.

    Raises:
        WeightsError: It cannot be read, or has changed meanwhile.
    """
    if weights.path is None:
        return b""
    if (weights.bytes or 0) >= MOST_BYTES:
        raise WeightsError(f"{weights.path}: {weights.bytes:,} bytes, no weights are that large; choose another file")
    try:
        content = Path(weights.path).read_bytes()
    except OSError as error:
        raise WeightsError(f"{weights.path} cannot be read ({error.strerror}): make it readable") from error
    if hashlib.sha256(content).hexdigest() != weights.sha256:
        raise WeightsError(f"{weights.path} has changed since its digest was taken: leave it alone and run again")
    return content


def find(name: str, remote: Remote, places: Sequence[Path]) -> Path | None:
    """The published file in the first place that has it; `None` if there is none.

    Raises:
        WeightsError: It is another file, or cannot be read.
    """
    path = next(filter(os.path.isfile, places), None)
    if path is None:
        return None
    try:
        fault = mismatch(path, remote.bytes, remote.sha256)
    except OSError as error:
        raise WeightsError(f"{name}: {path} cannot be read ({error.strerror}): make it readable") from error
    if fault:
        raise WeightsError(
            f"{name}: {path} {fault}, so it is not the published file: move it away to have that fetched, or "
            f"pass weights={path} to use this one"
        )
    return path


def fetch_to(
    targets: Iterable[Path],
    remote: Remote,
    places: Sequence[Path],
    progress: BytesDone | None = None,
    patience: Patience = PATIENCE,
) -> Path:
    """Downloads a published file to the first of `targets`.

    Args:
        targets: Possible destinations; none where no zoo folder is writable.
        remote: The file.
        places: The paths searched, for the error message.
        progress: Called during the download.
        patience: Time limits and number of attempts.

    Raises:
        FetchError: It failed; the remedy says where the file can be put by hand.
    """
    size, sha256 = remote.bytes, remote.sha256
    by_hand = f"download {remote}" if remote.url else f"put {remote.file}"
    try:
        url, target = _route(targets, remote, places)
        return download(url, target, bytes=size, sha256=sha256, progress=progress, patience=patience)
    except FetchError as error:
        remedy = f"{error.remedy}, or {by_hand} into {places[0].parent}"
        raise FetchError(error.fault, remedy) from error


def _route(targets: Iterable[Path], remote: Remote, places: Sequence[Path]) -> tuple[str, Path]:
    """Address and destination of a download."""
    if not remote.url:
        folders = ", ".join(str(place.parent) for place in places)
        fault = f"{remote.file} is not in {folders}, and checkpoint.url names no place to fetch it from"
        raise FetchError(fault, "set it")
    refuse_offline(remote.file)  # before folders are made
    target = next(iter(targets), None)
    if target is None:
        raise FetchError(f"{remote.file} cannot be stored, no zoo folder is writable", "set ESR_ZOO=FOLDER")
    return remote.url, target


def zoo_folders() -> list[Path]:
    """The folders searched for published files, in this order; they need not exist."""
    return [*_own_folders(), SHIPPED]


def own_folder() -> Path | None:
    """The first writable zoo folder, where published files are kept; `None` if there is none."""
    return next(filter(_is_writable, _own_folders()), None)


def _own_folders() -> list[Path]:
    """The zoo folders that belong to the user, and so may be written to."""
    parts = os.environ.get("ESR_ZOO", "").split(os.pathsep)
    stated = [expanded(part).absolute() for part in parts if part]
    cache = platformdirs.user_cache_path("esr") / "zoo"
    return [*stated, cache] if cache.is_absolute() else stated  # relative for a user without a home


def _described(source: WeightsSource, path: Path) -> Weights:
    return Weights(source, str(path), sha256_of(path), path.stat().st_size)


def _bundled(model: ModelConf) -> Weights | None:
    """The file that ships with esr, for its own networks only: a participant may have reused a name."""
    path = SHIPPED / f"{network_name(model)}.safetensors"
    return None if model.source or not path.is_file() else _described("bundled", path)


def _given(weights: str) -> Weights:
    path = expanded(weights).absolute()
    if weights and path.is_dir():
        raise WeightsError(f"weights={weights} is a folder: name the file in it")
    if not os.path.isfile(path):
        raise WeightsError(f"weights={weights}: no such file, and no such choice; {did_you_mean(weights, CHOICES)}")
    try:
        return _described("path", path)
    except OSError as error:
        raise WeightsError(f"weights={weights} cannot be read ({error.strerror}): make it readable") from error


def _places(model: ModelConf, folders: list[Path]) -> list[Path]:
    """Possible paths of the published file: beside a participant's YAML, then in the zoo folders."""
    file = expanded(model.checkpoint.file or "")
    if file.is_absolute():
        return [file]
    beside = [Path(model.source).parent.absolute() / file] if model.source else []
    return [*beside, *(folder / file.name for folder in folders)]


def _is_writable(folder: Path) -> bool:
    """True if a file can be made there; permissions alone do not reveal a read-only file system."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
