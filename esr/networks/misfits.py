"""Explains why a state dict does not fit a network, and suggests the setting that would make it fit."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping

from torch import Tensor

from esr.networks.strict_load import number_kind
from esr.text import escaped, listed

LOOKS_FOREIGN = 0.5
"""Below this share of the network's entries found in a file, the file belongs to another network."""
_WEIGHT_NORM = {
    "weight_g": "weight normalisation",
    "weight_v": "weight normalisation",
    "parametrizations.weight.original0": "weight normalisation",
    "parametrizations.weight.original1": "weight normalisation",
    "weight_orig": "spectral normalisation",
    "weight_u": "spectral normalisation",
}
"""End of an entry's name -> the wrapper of a layer that makes it."""
_MOST_RULES = 6
"""Rules in one suggestion; more of them would be a guess."""


def misfits(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """The entries that do not fit, on one line with a remedy; empty if all names, shapes and kinds of number fit.

    Args:
        own: The network's entries.
        state: The file's, after the user's own rules.
    """
    pairs = {name: (state[name], own[name]) for name in own if name in state}
    reshaped = {name: pair for name, pair in pairs.items() if pair[0].shape != pair[1].shape}
    retyped = {name: pair for name, pair in pairs.items() if len({number_kind(value) for value in pair}) > 1}
    missing = [name for name in own if name not in state]
    left = [name for name in state if name not in own]
    faults = {
        f"of {len(own)} entries are missing": missing,
        "are unexpected": left,
        "have another shape": [f"{n} is {list(a.shape)} for {list(b.shape)}" for n, (a, b) in reshaped.items()],
        "have another kind of number": [f"{n} is {a.dtype} for {b.dtype}" for n, (a, b) in retyped.items()],
    }
    found = [f"{len(entries)} {fault} ({listed(entries)})" for fault, entries in faults.items() if entries]
    if not found:
        return ""
    remedy = _advice(own, state, missing, left)
    if remedy is None and len(pairs) - len(reshaped) < LOOKS_FOREIGN * len(own):
        remedy = "these look like another network's weights, pass the file made for this one"
    return f"{', '.join(found)}; {remedy or 'check model.args, and checkpoint.rename where the names differ'}"


def _advice(own: Mapping[str, Tensor], state: Mapping[str, Tensor], missing: list[str], left: list[str]) -> str | None:
    """The rules that would take what remains; `None` where there are none to suggest."""
    if left and not missing:
        return f"if the network does not use them, set {_drop(left, own)}"
    if prefixes := _prefixes(own, state):
        return " or ".join(_under(prefix, own, state) for prefix in prefixes[:2])
    wrapped = {name for ending, name in _WEIGHT_NORM.items() if any(key.endswith(f".{ending}") for key in left)}
    if wrapped:
        return f"the file was saved with {' and '.join(sorted(wrapped))}, wrap the network's layers in it as well"
    if rules := _renames(own, state, missing, left):
        table = ", ".join(f"'{old}': '{new}'" for old, new in rules.items())
        rest = [name for name in left if not any(re.search(old, name) for old in rules)]
        kept = [name for name in state if name not in rest]
        return f"set checkpoint.rename: {{{table}}}" + (f" and {_drop(rest, kept)}" if rest else "")
    return None


def _prefixes(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Prefixes below which a file has every entry of the network."""
    if not own:
        return []
    first = next(iter(own))
    starts = [key.removesuffix(first) for key in state if key.endswith(f".{first}")]
    return [start for start in starts if all(_same_shape(own[name], state.get(f"{start}{name}")) for name in own)]


def _under(prefix: str, own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    rest = [key for key in state if not key.startswith(prefix) or key.removeprefix(prefix) not in own]
    below = [key.removeprefix(prefix) for key in rest]
    return f"set checkpoint.strip_prefix: '{escaped(prefix)}'" + (f" and {_drop(below, own)}" if rest else "")


def _renames(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], missing: list[str], left: list[str]
) -> dict[str, str]:
    """Replacements of leading parts that give the missing names, with the right shapes, and leave no gap."""
    for depth in (1, 2):
        wanted, offered = _by_head(missing, depth), _by_head(left, depth)
        rules: dict[str, str] = {}
        for head, tails in wanted.items():
            matching = [
                other
                for other, others in offered.items()
                if tails == others and all(_same_shape(own[f"{head}{t}"], state[f"{other}{t}"]) for t in tails)
            ]
            if len(matching) == 1:
                rules[f"^{_pattern(matching[0])}"] = escaped(head)
        if len(rules) == len(wanted) <= _MOST_RULES:
            return rules
    return {}


def _by_head(names: Iterable[str], depth: int) -> dict[str, set[str]]:
    """Leading parts, with their dot -> the rests of the names."""
    heads: dict[str, set[str]] = defaultdict(set)
    for name in names:
        parts = name.split(".")
        head = ".".join(parts[:depth]) + ("." if parts[depth:] else "")
        heads[head].add(name.removeprefix(head))
    return heads


def _drop(names: Iterable[str], kept: Iterable[str]) -> str:
    """The setting that leaves out these names, by the shortest leading parts that no kept name has."""
    used = {name[:end] for name in kept for end in _ends(name)}
    heads = dict.fromkeys(next((name[:end] for end in _ends(name) if name[:end] not in used), name) for name in names)
    patterns = [f"'^{_pattern(head)}" + ("'" if head.endswith(".") else "$'") for head in heads]
    more = ", …" if patterns[_MOST_RULES:] else ""
    return f"checkpoint.drop: [{', '.join(patterns[:_MOST_RULES])}{more}]"


def _ends(name: str) -> list[int]:
    """Lengths of a name's leading parts, with their dots, and of the whole name."""
    return [*(match.end() for match in re.finditer(r"\.", name)), len(name)]


def _pattern(text: str) -> str:
    return re.sub(r"([.^$*+?{}()|\[\]])", r"\\\1", escaped(text))


def _same_shape(one: Tensor, other: Tensor | None) -> bool:
    return other is not None and one.shape == other.shape
