"""Who is ranked: what the measurements must be like, and networks excluded by hand, each with its reason."""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import msgspec
from msgspec.structs import replace

from esr.errors import ConfigError
from esr.ranking.structures import Entry
from esr.records.reasons import DISQUALIFYING, REASONS, TAINT
from esr.text import did_you_mean, one_line

Requirement = Literal["honest", "clean", "any"]
REQUIREMENTS: tuple[Requirement, ...] = get_args(Requirement)


class Eligibility(msgspec.Struct, frozen=True):
    """Conditions for a rank, in addition to the challenge's gates."""

    require: Requirement = "honest"
    """`honest`: the work that was timed was judged and counted; `clean`: the verdict is; `any`: no condition."""
    excluded: Mapping[str, str] = {}
    """Network, by its key, name or team -> reason."""


def eligibility(require: str, excluded: Sequence[str] = ()) -> Eligibility:
    """The rules from words as on the command line.

    Raises:
        ConfigError: There is no such requirement, or an exclusion is not NAME: REASON.
    """
    if require not in REQUIREMENTS:
        raise ConfigError(f"require={one_line(require)}: no such choice; {did_you_mean(require, REQUIREMENTS)}")
    return Eligibility(require, exclusions(excluded))


def exclusions(words: Sequence[str]) -> dict[str, str]:
    """Networks and reasons from words of the form `NAME: REASON`.

    >>> exclusions(["net: withdrawn by its authors"])
    {'net': 'withdrawn by its authors'}

    Raises:
        ConfigError: A name or its reason is missing, or a name is given twice.
    """
    found: dict[str, str] = {}
    for word in words:
        name, colon, reason = (one_line(part) for part in word.partition(":"))
        if not (colon and name and reason):
            raise ConfigError(f"exclude={one_line(word)}: expected a network and a reason, as exclude='NAME: REASON'")
        if name in found:
            raise ConfigError(f"exclude={name}: is given twice")
        found[name] = reason
    return found


def judged(entries: Sequence[Entry], rules: Eligibility) -> list[Entry]:
    """The entries, those that may not be ranked with the reason.

    Raises:
        ConfigError: An exclusion names no network.
    """
    names = [name for one in entries if not one.reference for name in _names(one)] if rules.excluded else []
    for name in rules.excluded:
        if name not in names:
            raise ConfigError(f"exclude={name}: no such network in the table; {did_you_mean(name, names)}")
    return [replace(one, barred=_barred(one, rules)) for one in entries]


def _names(entry: Entry) -> list[str]:
    return [name for name in (entry.key, entry.name, entry.team) if name]


def _barred(entry: Entry, rules: Eligibility) -> str | None:
    by_hand = [rules.excluded[name] for name in _names(entry) if name in rules.excluded] if rules.excluded else []
    if by_hand:
        return f"excluded: {by_hand[0]}"
    if entry.barred or entry.reference or entry.failure or rules.require == "any":
        return entry.barred
    if entry.identical:
        return f"its output on {', '.join(entry.identical)} is the HR image itself (infinite PSNR)"
    taints = dict.fromkeys(one.reason for one in entry.reasons if one.severity == TAINT and one.role != "baseline")
    worst = [REASONS[name] for name in taints if name in DISQUALIFYING]
    unclean = f"{entry.verdict}, and require=clean" if rules.require == "clean" and entry.verdict != "clean" else None
    return "; ".join(worst) or unclean


def rules_note(rules: Eligibility) -> list[str]:
    """Footnotes of the whole table on rules that are not the default's."""
    notes = [] if rules.require == "honest" else [f"require={rules.require}: {_MEANING[rules.require]}"]
    return notes + [f"excluded by hand: {name}: {reason}" for name, reason in rules.excluded.items()]


_MEANING: Mapping[Requirement, str] = {
    "clean": "only networks with a clean record are ranked",
    "any": "networks are ranked whatever their verdict is",
}
