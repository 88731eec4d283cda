"""The published table of a challenge as entries: the figures as they were printed."""

import csv
from pathlib import Path

from esr.errors import ConfigError
from esr.ranking.challenge import Challenge, folder, names
from esr.ranking.structures import Entry, Figures

_BASELINE_ID = -1
_RANK_COLUMNS = {
    "main": "main_rank",
    "sub1": "sub1_rank",
    "sub2": "sub2_rank",
    "runtime": "time_rank",
    "params": "params_rank",
    "flops": "flops_rank",
    "activations": "acts_rank",
    "memory": "memory_rank",
}


def published_entries(challenge: Challenge) -> list[Entry]:
    """One entry per printed row, baselines included.

    Raises:
        ConfigError: The challenge's table is not shipped.
    """
    if challenge.published is None:
        with_table = ", ".join(name for name in names() if (folder() / f"{name}.csv").is_file())
        raise ConfigError(
            f"challenge={challenge.name}: its published table is not shipped; --published knows {with_table}"
        )
    rows = _rows(folder() / challenge.published)
    beside = next(row for row in rows if int(row["team_id"]) == _BASELINE_ID)
    return [_entry(row, beside) for row in rows]


def _rows(file: Path) -> list[dict[str, str]]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def _entry(row: dict[str, str], beside: dict[str, str]) -> Entry:
    team_id = int(row["team_id"])
    figures = _figures(row, beside)
    return Entry(
        key=row["team"],
        name=row["team"],
        title=row["team"],
        team=row["team"],
        team_id=team_id,
        source="published",
        figures=figures,
        baseline=_figures(beside, beside),
        reference=team_id <= 0,
        published=figures,
        published_ranks={key: int(row[column]) for key, column in _RANK_COLUMNS.items() if row[column]},
        weights="published",
        baseline_weights="published",
    )


def _figures(row: dict[str, str], beside: dict[str, str]) -> Figures:
    return Figures(
        runtime_ms=float(row["time_ms"]),
        ratio=float(row["time_ms"]) / float(beside["time_ms"]),
        params=round(float(row["params_m"]) * 1e6),
        flops=round(float(row["flops_g"]) * 1e9),
        activations=round(float(row["acts_m"]) * 1e6),
        memory_mib=float(row["memory_m"]),
        convolutions=float(row["convs"]),
        psnr={"div2k_valid": float(row["psnr_valid"]), "div2k_test": float(row["psnr_test"])},
    )
