"""What there is to fetch: the published weights of `conf/model`, the data sets of `conf/archives.yaml`."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import esr.conf
from esr.config.cards import model_file, model_names
from esr.errors import ConfigError
from esr.text import did_you_mean

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster where libyaml is there


@dataclass(frozen=True)
class Remote:
    """One file at its official place."""

    file: str
    """Its name there and here."""
    url: str | None = None
    """None: no official place is known."""
    bytes: int | None = None
    sha256: str | None = None

    @property
    def described(self) -> str:
        """Size and digest in words, as far as they are known."""
        size = "size not known" if self.bytes is None else f"{self.bytes} bytes"
        return f"{size}, sha256 {self.sha256 or 'not known'}"


@dataclass(frozen=True)
class Thing:
    """What a name given to `esr fetch` stands for."""

    name: str
    kind: str
    """`weights` or `data`."""
    files: tuple[Remote, ...]
    licence: str | None = None
    page: str | None = None
    """Where people read about it; none for weights."""

    @property
    def bytes(self) -> int | None:
        """Bytes to fetch; none where one file's size is not known."""
        sizes = [file.bytes for file in self.files if file.bytes is not None]
        return sum(sizes) if len(sizes) == len(self.files) else None


@cache
def weights() -> dict[str, Thing]:
    """The networks whose published weights have a place, by name, in the challenge's order."""
    found = {}
    for name in model_names():
        checkpoint = checkpoint_of(name)
        if checkpoint.get("file") and checkpoint.get("url"):
            remote = Remote(
                checkpoint["file"], checkpoint["url"], checkpoint.get("bytes"), checkpoint.get("sha256")
            )
            found[name] = Thing(name, "weights", (remote,), checkpoint.get("licence"))
    return found


@cache
def data_sets() -> dict[str, Thing]:
    """The data sets, by name."""
    table = _yaml(Path(esr.conf.__file__).parent / "archives.yaml")
    return {
        name: Thing(
            name,
            "data",
            tuple(Remote(**archive) for archive in entry["archives"]),
            entry.get("licence"),
            entry["page"],
        )
        for name, entry in table.items()
    }


def checkpoint_of(name: str) -> dict[str, Any]:
    """The entry `checkpoint` of a shipped network, as plain data; empty where there is none."""
    file = model_file(name)
    return {} if file is None else dict(_yaml(file).get("checkpoint") or {})


def select(names: Sequence[str], *, every_weights: bool = False) -> list[Thing]:
    """The things that are asked for, each once, in the order of the names.

    Args:
        names: networks, teams as in `team04`, and data sets.
        every_weights: all published weights as well.

    Raises:
        ConfigError: a name stands for nothing that can be fetched, or nothing is asked for.
    """
    known = {**weights(), **data_sets()}
    chosen = dict(weights()) if every_weights else {}
    for name in names:
        file = model_file(name) if name not in known and name.startswith("team") else None
        thing = known.get(file.stem if file else name)
        if thing is None:
            raise ConfigError(
                f"{' '.join(name.split())}: nothing to fetch by that name; {did_you_mean(name, known)}"
            )
        chosen[thing.name] = thing
    if not chosen:
        raise ConfigError(
            "nothing to fetch: name networks or data sets, or pass --all; --list shows what there is"
        )
    return list(chosen.values())


def _yaml(file: Path) -> dict[str, Any]:
    with file.open(encoding="utf-8") as opened:
        return dict(yaml.load(opened, _LOADER))  # noqa: S506 - either is a safe one
