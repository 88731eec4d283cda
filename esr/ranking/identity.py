"""Submissions told apart: records of one network are its repetitions, those of another stand beside it.

A network is what its configuration, weights and code make it. Several of one name get keys that say how they differ.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from esr.config.digest import CARD_KEYS, digest, leaves
from esr.errors import RecordError
from esr.ranking.structures import Entry
from esr.records.document import Document
from esr.records.part import load_raw, require_shallow

Item = TypeVar("Item")
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
        """Keys of the model's configuration on which a figure depends, with its `source`.

        Raises:
            RecordError: They are not an object.
        """
        model = load_raw(msgspec.Raw(self.config), _ModelKey, "config").model
        require_shallow(model, "config.model")
        own = {key: value for key, value in model.items() if key not in (*CARD_KEYS, "name", "checkpoint")}
        return {**own, "source": model.get("source")}


def submission(document: Document, machine: tuple[str, str]) -> Submission:
    """The candidate's."""
    candidate = document.networks.candidate
    weights = candidate.weights
    return Submission(
        weights.sha256 or weights.source, weights.path, candidate.code_sha256, bytes(document.config), machine
    )


def groups(found: Sequence[Item], of: Callable[[Item], tuple[Entry, Submission]]) -> list[list[Item]]:
    """Records of one submission each, in the order found."""
    by_name: dict[Hashable, list[Item]] = defaultdict(list)
    for one in found:
        entry, _ = of(one)
        by_name[entry.name, entry.team, entry.team_id].append(one)
    separated: list[list[Item]] = []
    for several in by_name.values():
        separated += _separated(several, of) if len(several) > 1 else [several]
    return separated


def _separated(several: Sequence[Item], of: Callable[[Item], tuple[Entry, Submission]]) -> list[list[Item]]:
    submissions = [of(one)[1] for one in several]
    # Old records know no code; beside one of them, it tells nothing.
    known = all(one.code for one in submissions)
    found: dict[Hashable, list[int]] = defaultdict(list)
    for index, one in enumerate(submissions):
        model = _model(one)
        place = model.pop("source", None)
        found[one.weights, digest(model), place, one.code if known else None].append(index)
    kept: list[list[Item]] = []
    for indices in found.values():
        # A network that failed at once leaves its machine unknown: it is that of the others.
        machines: dict[Hashable, list[Item]] = defaultdict(list)
        usual = next((submissions[index].machine for index in indices if any(submissions[index].machine)), ("", ""))
        for index in indices:
            machine = submissions[index].machine
            machines[machine if any(machine) else usual].append(several[index])
        kept += machines.values()
    return kept


def _model(one: Submission) -> dict[str, Any]:
    try:
        return one.model()
    except RecordError:
        return {}


def keys(entries: Sequence[Entry], submissions: Sequence[Submission]) -> tuple[list[str], list[str]]:
    """A distinct key for each network, and sentences on the names that several share: how they differ."""
    same: dict[str, list[int]] = defaultdict(list)
    for index, entry in enumerate(entries):
        same[entry.name].append(index)
    named = [entry.name for entry in entries]
    notes: dict[str, list[str]] = defaultdict(list)
    for name, indices in same.items():
        if len(indices) > 1:
            words, differing = _told_apart([entries[at] for at in indices], [submissions[at] for at in indices])
            for index, word in zip(indices, words, strict=True):
                named[index] = f"{name} ({word})" if word else name
            notes[f"{len(indices)} networks of this name differ in {', '.join(differing) or 'nothing known'}"].append(
                name
            )
    taken: Counter[str] = Counter()
    distinct = []
    for key in named:
        taken[key] += 1
        distinct.append(key if taken[key] == 1 else f"{key} #{taken[key]}")
    return distinct, [f"{', '.join(names)}: {note}" for note, names in notes.items()]


def _told_apart(entries: Sequence[Entry], submissions: Sequence[Submission]) -> tuple[list[str], list[str]]:
    """Words for each network, of as few aspects as tell them apart, and the names of all aspects that differ."""
    count = len(entries)
    words: list[list[str]] = [[] for _ in range(count)]
    parts: list[tuple[str, ...]] = [()] * count
    differing = []
    for aspect, values in _aspects(entries, submissions).items():
        if len(set(values)) < 2:  # noqa: PLR2004 - all the same
            continue
        differing.append(aspect)
        finer = [(*part, value) for part, value in zip(parts, values, strict=True)]
        if len(set(finer)) > len(set(parts)):
            parts = finer
            for word, value in zip(words, values, strict=True):
                word.append(value)
    return [", ".join(filter(None, word)) for word in words], differing


def _aspects(entries: Sequence[Entry], submissions: Sequence[Submission]) -> Mapping[str, list[str]]:
    """In the order in which people tell networks apart; each with a short word per network."""
    models = [dict(leaves(_model(one))) for one in submissions]
    ids = ["" if one.team_id is None else f", {one.team_id}" for one in entries]
    found = {"team": [f"{one.team or 'no team'}{own}" for one, own in zip(entries, ids, strict=True)]}
    for key in dict.fromkeys(key for model in models for key in model if key != "source"):
        found[key] = [f"{key.rpartition('.')[2]}={_short(model.get(key, '-'))}" for model in models]
    found["source"] = _folders([str(model.get("source") or "") for model in models])
    files = [Path(one.weights_path).name if one.weights_path else one.weights for one in submissions]
    digests = [one.weights[:_DIGITS] for one in submissions]
    same_file = len(set(zip(files, digests, strict=True))) > len(set(files))
    if len({one.weights for one in submissions}) > 1:
        found["weights"] = [
            f"weights {digest if same_file else _short(file)}" for digest, file in zip(digests, files, strict=True)
        ]
    found["machine"] = _machines(submissions)
    found["code"] = [f"code {one.code[:_DIGITS]}" if one.code else "" for one in submissions]
    return found


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
    common = os.path.commonpath([str(Path(path).parent) for path in paths])
    return [
        str(Path(path).parent.relative_to(common)) if str(Path(path).parent) != common else Path(path).stem
        for path in paths
    ]


def _short(value: object) -> str:
    text = "".join(character if character.isprintable() else "?" for character in str(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
