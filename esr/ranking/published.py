"""Published figures and ranks of a challenge as a ranking's entries."""

import csv
from collections.abc import Mapping

import msgspec

from esr.config.cards import Published
from esr.errors import ConfigError
from esr.ranking.challenge import Challenge, folder, names
from esr.ranking.structures import Entry, Figures

_BASELINE_ID = "-1"


def published_entries(challenge: Challenge) -> list[Entry]:
    """One entry per row of the published table, baselines included.

    Raises:
        ConfigError: The challenge's table is not shipped.
    """
    if challenge.published is None:
        with_table = ", ".join(name for name in names() if (folder() / f"{name}.csv").is_file())
        raise ConfigError(
            f"challenge={challenge.name}: its published table is not shipped; --published knows {with_table}"
        )
    with (folder() / challenge.published).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    baseline = next(_published(row) for row in rows if row["team_id"] == _BASELINE_ID)
    return [_entry(row, baseline) for row in rows]


def _published(row: Mapping[str, str]) -> Published:
    plain = {name: row[name] for name in Published.__struct_fields__ if row.get(name)}
    groups = {"psnr_rgb": _group(row, "psnr_rgb_"), "ranks": _group(row, "rank_")}
    return msgspec.convert({**plain, **groups}, Published, strict=False)


def _group(row: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): text for name, text in row.items() if name.startswith(prefix) and text}


def _entry(row: Mapping[str, str], baseline: Published) -> Entry:
    published, team_id = _published(row), int(row["team_id"])
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
        published_ranks=published_ranks(published),
        weights="published",
        baseline_weights="published",
    )


def published_figures(published: Published, baseline: Published | None) -> Figures:
    """Figures of a published row, its ratio relative to the baseline's row; counts are plain numbers."""
    own, beside = published.runtime_ms, baseline.runtime_ms if baseline else None
    return Figures(
        runtime_ms=own,
        ratio=own / beside if own and beside else None,
        params=_times(published.params_m, 1e6),
        flops=_times(published.flops_g, 1e9),
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
