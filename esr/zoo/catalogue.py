"""The catalogue of `esr fetch`: published weights from `conf/model`, data sets from `conf/archives.yaml`."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec

import esr.conf
from esr.config.cards import model_file, model_names
from esr.config.schema import CheckpointConf, DataConf, ModelConf
from esr.errors import ConfigError
from esr.text import did_you_mean, one_line


class Remote(msgspec.Struct, frozen=True):
    """A file and its official address."""

    file: str
    """File name, there and here."""
    url: str | None = None
    """`None` where no official address is known."""
    bytes: int | None = None
    sha256: str | None = None

    @classmethod
    def of(cls, checkpoint: CheckpointConf) -> "Remote":
        """The published file of a network."""
        return cls(checkpoint.file or "", checkpoint.url, checkpoint.bytes, checkpoint.sha256)

    def __str__(self) -> str:
        """Address, size and digest, as far as they are known."""
        size = "size not known" if self.bytes is None else f"{self.bytes} bytes"
        return f"{self.url or self.file} ({size}, sha256 {self.sha256 or 'not known'})"


class Asset(msgspec.Struct, frozen=True):
    """An entry of the catalogue: the weights of one network, or one data set."""

    name: str
    kind: Literal["weights", "data"]
    files: tuple[Remote, ...]
    licence: str | None = None
    page: str | None = None
    """The data set's web page; `None` for weights."""
    images: int | None = None
    """Number of images of the whole data set."""

    @property
    def bytes(self) -> int | None:
        """Size of all files together; `None` where the size of one is not known."""
        sizes = [file.bytes for file in self.files if file.bytes is not None]
        return sum(sizes) if len(sizes) == len(self.files) else None


class _DataSet(msgspec.Struct):
    page: str
    archives: tuple[Remote, ...]
    licence: str | None = None


@cache
def weights() -> Mapping[str, Asset]:
    """Networks whose published weights have an address, by name, in the challenge's order."""
    checkpoints = {name: checkpoint_of(name) for name in model_names()}
    return {
        name: Asset(name, "weights", (Remote.of(one),), one.licence)
        for name, one in checkpoints.items()
        if one.file and one.url
    }


@cache
def data_sets() -> Mapping[str, Asset]:
    """Data sets, by name."""
    table = Path(esr.conf.__file__).parent / "archives.yaml"
    entries = msgspec.yaml.decode(table.read_bytes(), type=dict[str, _DataSet])
    return {
        name: Asset(name, "data", one.archives, one.licence, one.page, _images_of(name))
        for name, one in entries.items()
    }


def _images_of(name: str) -> int | None:
    file = Path(esr.conf.__file__).parent / "data" / f"{name}.yaml"
    return msgspec.yaml.decode(file.read_bytes(), type=DataConf).images if file.is_file() else None


def checkpoint_of(name: str) -> CheckpointConf:
    """The checkpoint of a shipped network; without a file where there is no such network."""
    file = model_file(name)
    return msgspec.yaml.decode(file.read_bytes(), type=ModelConf).checkpoint if file else CheckpointConf()


def select(names: Sequence[str], *, every_weights: bool = False) -> list[Asset]:
    """Looks names up; each asset is given once, in the order of the names.

    Args:
        names: Networks, teams such as `team04`, and data sets.
        every_weights: Adds all published weights.

    Raises:
        ConfigError: A name is not in the catalogue, or no name is given.
    """
    known = {**weights(), **data_sets()}
    chosen = dict(weights()) if every_weights else {}
    for name in names:
        file = model_file(name) if name not in known and name.startswith("team") else None
        asset = known.get(file.stem if file else name)
        if asset is None:
            raise ConfigError(f"{one_line(name)}: nothing to fetch by that name; {did_you_mean(name, known)}")
        chosen[asset.name] = asset
    if not chosen:
        raise ConfigError("nothing to fetch: name networks or data sets, or pass --all; --list shows the catalogue")
    return list(chosen.values())
