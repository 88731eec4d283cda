"""Submissions told apart: records of one network are its repetitions, those of another stand beside it.

A network is what its configuration, weights and code make it. Several of one name get keys that say how they differ.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from esr.config.digest import CARD_KEYS, digest, leaves
from esr.errors import RecordError
from esr.ranking.structures import Entry
from esr.records.document import Document
from esr.records.part import load_raw, require_shallow

_DIGITS = 8
"""Hexadecimal digits of a digest in a key."""
_LONGEST = 40
"""Characters of a value in a key."""


class _ModelKey(msgspec.Struct, frozen=True):
    """The one group of a configuration that describes the candidate."""

    model: dict[str, Any] = {}


class Submission(msgspec.Struct, frozen=True):
    """The candidate of a record, as far as it tells one submission from another."""

    weights: str
    """Digest of the file, or the source of weights that have none."""
    weights_path: str | None
    code: str | None
    config: bytes
    """Composed configuration, undecoded: of a network measured once, nobody needs it."""
    machine: tuple[str, str]
    """Device and settings; empty where unknown."""

    def model(self) -> dict[str, Any]:
        """Keys of the model's configuration on which a figure depends, with its `source`; empty where it is damaged."""
        try:
            model = load_raw(msgspec.Raw(self.config), _ModelKey, "config").model
            require_shallow(model, "config.model")
        except RecordError:
            return {}
        own = {key: value for key, value in model.items() if key not in (*CARD_KEYS, "name", "checkpoint")}
        return {**own, "source": model.get("source")}


class Rankable(msgspec.Struct, frozen=True):
    """A record that can be ranked."""

    entry: Entry
    submission: Submission
    conditions: Mapping[str, str]
    """Each of the collection's `MUST_AGREE` and `MIXABLE`; empty where unknown."""
    ended: datetime

    @property
    def data(self) -> str:
        """Name of the data set."""
        return self.conditions["data set"]


def submission(document: Document, machine: tuple[str, str]) -> Submission:
    """The candidate's."""
    own, config = document.networks.candidate, bytes(document.config)
    return Submission(own.weights.sha256 or own.weights.source, own.weights.path, own.code_sha256, config, machine)


def groups(found: Sequence[Rankable]) -> list[list[Rankable]]:
    """Records of one submission each, in the order found."""
    by_name: dict[Hashable, list[Rankable]] = defaultdict(list)
    for one in found:
        by_name[one.entry.name, one.entry.team, one.entry.team_id].append(one)
    separated: list[list[Rankable]] = []
    for several in by_name.values():
        separated += _separated(several) if len(several) > 1 else [several]
    return separated


def _separated(several: Sequence[Rankable]) -> list[list[Rankable]]:
    # Old records know no code; beside one of them, it tells nothing.
    known = all(one.submission.code for one in several)
    alike: dict[Hashable, list[Rankable]] = defaultdict(list)
    for one in several:
        own, model = one.submission, one.submission.model()
        place = model.pop("source", None)
        alike[own.weights, digest(model), place, own.code if known else None].append(one)
    kept: list[list[Rankable]] = []
    for group in alike.values():
        # A network that failed at once leaves its machine unknown: it is that of the others.
        machines: dict[Hashable, list[Rankable]] = defaultdict(list)
        usual = next((one.submission.machine for one in group if any(one.submission.machine)), ("", ""))
        for one in group:
            machine = one.submission.machine
            machines[machine if any(machine) else usual].append(one)
        kept += machines.values()
    return kept


def keys(networks: Sequence[Rankable]) -> tuple[list[str], list[str]]:
    """A distinct key for each network, and sentences on the names that several share: how they differ."""
    same: dict[str, list[int]] = defaultdict(list)
    for index, one in enumerate(networks):
        same[one.entry.name].append(index)
    named = [one.entry.name for one in networks]
    notes: dict[str, list[str]] = defaultdict(list)
    for name, indices in same.items():
        if len(indices) > 1:
            words, differing = _told_apart([networks[at] for at in indices])
            for index, word in zip(indices, words, strict=True):
                named[index] = f"{name} ({word})" if word else name
            note = f"{len(indices)} networks of this name differ in {', '.join(differing) or 'nothing known'}"
            notes[note].append(name)
    taken: Counter[str] = Counter()
    distinct = []
    for key in named:
        taken[key] += 1
        distinct.append(key if taken[key] == 1 else f"{key} #{taken[key]}")
    return distinct, [f"{', '.join(names)}: {note}" for note, names in notes.items()]


def _told_apart(networks: Sequence[Rankable]) -> tuple[list[str], list[str]]:
    """Words for each network, of as few aspects as tell them apart, and the names of all aspects that differ."""
    words: list[list[str]] = [[] for _ in networks]
    parts: list[tuple[str, ...]] = [()] * len(networks)
    differing = []
    for aspect, values in _aspects(networks).items():
        if len(set(values)) < 2:  # noqa: PLR2004 - all the same
            continue
        differing.append(aspect)
        finer = [(*part, value) for part, value in zip(parts, values, strict=True)]
        if len(set(finer)) > len(set(parts)):
            parts = finer
            for word, value in zip(words, values, strict=True):
                word.append(value)
    return [", ".join(filter(None, word)) for word in words], differing


def _aspects(networks: Sequence[Rankable]) -> Mapping[str, list[str]]:
    """In the order in which people tell networks apart; each with a short word per network."""
    submissions = [one.submission for one in networks]
    models = [dict(leaves(one.model())) for one in submissions]
    found = {"team": [_team(one.entry) for one in networks]}
    for key in dict.fromkeys(key for model in models for key in model if key != "source"):
        found[key] = [f"{key.rpartition('.')[2]}={_short(model.get(key, '-'))}" for model in models]
    found["source"] = _folders([str(model.get("source") or "") for model in models])
    if len({one.weights for one in submissions}) > 1:
        files = [Path(one.weights_path).name if one.weights_path else one.weights for one in submissions]
        digests = [one.weights[:_DIGITS] for one in submissions]
        same_file = len(set(zip(files, digests, strict=True))) > len(set(files))
        found["weights"] = [f"weights {word}" for word in (digests if same_file else map(_short, files))]
    found["machine"] = _machines(submissions)
    found["code"] = [f"code {one.code[:_DIGITS]}" if one.code else "" for one in submissions]
    return found


def _team(entry: Entry) -> str:
    return f"{entry.team or 'no team'}{'' if entry.team_id is None else f', {entry.team_id}'}"


def _machines(submissions: Sequence[Submission]) -> list[str]:
    """Devices; settings, too, where one device was set in several ways."""
    devices = [one.machine[0] for one in submissions]
    if len(set(devices)) == len({one.machine for one in submissions}):
        return devices
    return [", ".join(filter(None, one.machine)) for one in submissions]


def _folders(paths: Sequence[str]) -> list[str]:
    """The part of each path that the others do not share.

    >>> _folders(["/subs/red/model.yaml", "/subs/blue/model.yaml"])
    ['red', 'blue']
    """
    if len(set(paths)) < 2 or not all(paths):  # noqa: PLR2004 - nothing to tell apart
        return list(paths) if all(paths) else ["" for _ in paths]
    if len({os.path.isabs(path) for path in paths}) > 1:  # esr writes absolute ones
        return [_short(path) for path in paths]
    common = os.path.commonpath([Path(path).parent for path in paths])
    inside = [Path(path).relative_to(common) for path in paths]
    return [file.stem if len(file.parts) == 1 else str(file.parent) for file in inside]


def _short(value: object) -> str:
    text = "".join(character if character.isprintable() else "?" for character in str(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
