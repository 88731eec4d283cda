"""`model=repo repo=DIR id=N` on the command line: words checked and completed before Hydra composes them."""

import dataclasses
import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from esr.config.quoting import quoted, readable, unquoted
from esr.config.repository import Layout, read_layout
from esr.config.schema import ModelConf, RepositoryConf
from esr.errors import ConfigError

CHOICE = "repo"
"""Option of the groups `model` and `baseline`."""
ALL = "all"


def expand(words: Sequence[str], *, several: bool = False) -> list[str]:
    """Overrides in Hydra's grammar, with what `model=repo` and `baseline=repo` imply.

    `repo` becomes absolute, `id=all` the list of ids, and a repository's network is measured beside the repository's
    own baseline unless `baseline` is given. Other overrides stay as they are.

    Args:
        words: As on the command line.
        several: True with `-m`, which runs several networks.

    Raises:
        ConfigError: The repository cannot be read, an id is missing or unknown, or several are given without `-m`.
    """
    words = readable([_globbed(word) for word in words], several=several)
    given = dict(word.split("=", 1) for word in words if "=" in word and not word.startswith("-"))
    chosen = [group for group in ("model", "baseline") if CHOICE in given.get(group, "").split(",")]
    if given.get("model") == CHOICE and "baseline" not in given:
        chosen.append("baseline")
    for key, groups in {"repo": ["model", "baseline"], "id": ["model"], "baseline_id": ["baseline"]}.items():
        if given.get(key, "null") not in ("", "null") and not {*groups} & {*chosen}:
            raise ConfigError(f"{key}={given[key]}: no use without {' or '.join(f'{one}=repo' for one in groups)}")
    if not chosen:
        return list(words)
    if not given.get("repo", "").strip():
        raise ConfigError(f"{chosen[0]}=repo: add repo=DIR, the checkout of a challenge's repository")
    layout = read_layout(Path(unquoted(given["repo"])))
    changed = {"repo": quoted(str(layout.root))}
    if "model" in chosen:
        changed["id"] = _ids(given.get("id", ""), layout, several=several)
    if "baseline" in chosen and "baseline" not in given:
        changed["baseline"] = CHOICE
    if chosen == ["model", "baseline"] and "model.requirements" in given:  # of one script
        changed["baseline.requirements"] = given.get("baseline.requirements", given["model.requirements"])
    if given.get("baseline_id", "null") not in ("", "null"):
        _ids(given["baseline_id"], layout, several=False, key="baseline_id")
    kept = [word for word in words if word.partition("=")[0] not in changed]
    return [*kept, *(f"{key}={value}" for key, value in changed.items())]


def _globbed(word: str) -> str:
    """`model=glob(submissions/*/model.yaml)` as the list of those files; any other word as it is."""
    match = re.fullmatch(r"(model|baseline)=glob\((.*(?:/|\.ya?ml).*)\)", word)
    if not match:
        return word
    pattern = os.path.expanduser(unquoted(match[2]))
    files = sorted(glob.glob(pattern, recursive=True))
    if not files:
        raise ConfigError(f"{word}: no file matches {pattern}")
    return f"{match[1]}=" + ",".join(map(quoted, files))


def _ids(value: str, layout: Layout, *, several: bool, key: str = "id") -> str:
    known = ", ".join(str(entry.id) for entry in layout.entries)
    if not value:
        raise ConfigError(f"model=repo: add id=N, or id=all with -m; {layout.root.name} has {known}")
    numbers = [str(entry.id) for entry in layout.entries] if value == ALL else value.split(",")
    if not several and len(numbers) > 1:
        raise ConfigError(f"{key}={value}: several networks need esr -m")
    for number in numbers:
        if not re.fullmatch(r"[+-]?\d{1,9}", number.strip()):
            raise ConfigError(f"{key}={value}: {number!r:.20} is no number; {layout.root.name} has {known}")
        if int(number) not in [entry.id for entry in layout.entries]:
            raise ConfigError(f"{key}={number}: no such network; {layout.root.name} has {known}")
    return ",".join(str(int(number)) for number in numbers)


def network_of(root: str | None, number: int | None) -> str:
    """Name of a repository's network, for `${esr.repository:…}`; without an id its baseline's."""
    if not root:
        raise ConfigError("model=repo: add repo=DIR, the checkout of a challenge's repository")
    return read_layout(Path(root)).entry(number).name


def complete(model: ModelConf) -> ModelConf:
    """A repository's network with its id, names and range of values filled in; any other as it is.

    Raises:
        ConfigError: The repository cannot be read, or has no such network.
    """
    if model.repository.root is None:
        return model
    layout = read_layout(Path(model.repository.root))
    entry = layout.entry(model.repository.id)
    return dataclasses.replace(
        model,
        name=model.name or entry.name,
        title=model.title or re.sub(r"^-?\d+_+", "", entry.name) or entry.name,
        team_id=entry.id if model.team_id is None else model.team_id,
        data_range=entry.data_range,
        repository=RepositoryConf(str(layout.root), entry.id),
    )
