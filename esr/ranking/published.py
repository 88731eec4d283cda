"""Published figures and ranks of a challenge as a ranking's entries."""

import csv
from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from esr.config.cards import Published
from esr.errors import ConfigError
from esr.ranking.challenge import Challenge, folder, names
from esr.ranking.eligibility import Eligibility, judged, rules_note
from esr.ranking.structures import Constraints, Entry, Figures, Ranking
from esr.ranking.table import rank_entries

Runtime = Literal["mean", "median", "without_first"]
"""Statistic of a pass's times: their mean, as the organisers rank; their median; the mean without each set's first."""
RUNTIMES: tuple[Runtime, ...] = get_args(Runtime)


def published_ranking(
    challenge: Challenge,
    constraints: Constraints = "report",
    runtime: Runtime = "mean",
    rules: Eligibility = Eligibility(),  # noqa: B008 - immutable
) -> Ranking:
    """The published table of a challenge, recomputed by its rules.

    Args:
        challenge: The challenge.
        constraints: As for `rank_entries`.
        runtime: Statistic of the published times per image; others than the mean need a table that has them.
        rules: Who may be ranked.

    Raises:
        ConfigError: The challenge's table is not shipped, or lacks the statistic; or an exclusion names no network.
    """
    notes = [challenge.published_note] if challenge.published_note else []
    if runtime != RUNTIMES[0]:
        notes.append(f"runtime: {_WORDS[runtime]}, in place of the mean that the organisers ranked")
    entries = judged(published_entries(challenge, runtime), rules)
    return rank_entries(entries, challenge, constraints, notes=[*notes, *rules_note(rules)])


_WORDS: Mapping[Runtime, str] = {
    "median": "median over the images, averaged over the two sets",
    "without_first": "mean over the images but each set's first, averaged over the two sets",
}


def published_entries(challenge: Challenge, runtime: Runtime = "mean") -> list[Entry]:
    """One entry per row of the published table, baselines included.

    Raises:
        ConfigError: The challenge's table is not shipped, or lacks the statistic.
    """
    if challenge.published is None:
        with_table = ", ".join(name for name in names() if (folder() / f"{name}.csv").is_file())
        raise ConfigError(
            f"challenge={challenge.name}: its published table is not shipped; --published knows {with_table}"
        )
    with (folder() / challenge.published).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    if runtime != RUNTIMES[0]:
        column = f"runtime_ms_{runtime}"
        if not all(row.get(column) for row in rows):
            raise ConfigError(f"--runtime {runtime}: {challenge.name} has no times per image; leave it out")
        rows = [row | {"runtime_ms": row[column]} for row in rows]
    # The baselines have the lowest numbers: 0, and in 2022 also -1, which is the one that counts.
    baseline = _published(min(rows, key=lambda row: int(row["team_id"])), challenge)
    return [_entry(row, baseline, challenge) for row in rows]


def _published(row: Mapping[str, str], challenge: Challenge) -> Published:
    plain = {name: row[name] for name in Published.__struct_fields__ if row.get(name)}
    groups = {"psnr_rgb": _group(row, "psnr_rgb_"), "ranks": _group(row, "rank_")}
    return msgspec.convert({**plain, **groups, "challenge": challenge.name}, Published, strict=False)


def _group(row: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): text for name, text in row.items() if name.startswith(prefix) and text}


def _entry(row: Mapping[str, str], baseline: Published, challenge: Challenge) -> Entry:
    published, team_id = _published(row, challenge), int(row["team_id"])
    figures = published_figures(published, baseline)
    return Entry(
        key=row["team"],
        name=row["team"],
        title=row["team"],
        team=row["team"],
        team_id=team_id,
        source="published",
        figures=figures,
        baseline=published_figures(baseline, baseline),
        reference=team_id <= 0,
        published=figures,
        published_in=challenge.name,
        published_ranks=published_ranks(published),
        weights="published",
        baseline_weights="published",
    )


def published_figures(published: Published, baseline: Published | None) -> Figures:
    """Figures of a published row, its ratio relative to the baseline's row of the same challenge.

    Counts are plain numbers.
    """
    same = baseline is not None and baseline.challenge == published.challenge
    own, beside = published.runtime_ms, baseline.runtime_ms if baseline and same else None
    return Figures(
        runtime_ms=own,
        ratio=own / beside if own and beside else None,
        params=_times(published.params_m, 1e6),
        flops=_times(published.flops_g, 1e9),
        flops_fvcore=_times(published.flops_fvcore_g, 1e9),
        activations=_times(published.activations_m, 1e6),
        memory_mib=published.memory_mib,
        convolutions=published.convolutions,
        psnr_rgb=published.psnr_rgb,
    )


def _times(value: float | None, unit: float) -> float | None:
    return None if value is None else round(value * unit)


def published_ranks(published: Published) -> dict[str, int]:
    """Published ranks by track and metric."""
    return {name: rank for name, rank in msgspec.structs.asdict(published.ranks).items() if rank is not None}
