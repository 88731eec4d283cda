"""The whole ranking, from its entries."""

import math
from collections.abc import Sequence
from typing import get_args

from msgspec.structs import replace

from esr.config.terms import Precision
from esr.ranking.challenge import Challenge, Metric, flops_of, metrics_of
from esr.ranking.correlation import correlations
from esr.ranking.gates import gate_results
from esr.ranking.notes import entry_notes, excluded, table_notes
from esr.ranking.structures import Constraints, Entry, Place, PlaceChange, Ranges, Ranking, Row
from esr.ranking.tracks import metric_ranks, places
from esr.ranking.uncertainty import measured, uncertainty

SEED = 0
"""Seed of the correlations' resampling."""


def rank_entries(
    entries: Sequence[Entry],
    challenge: Challenge,
    constraints: Constraints = "report",
    *,
    ranges: Ranges = "together",
    baseline: str | None = None,
    conditions: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Ranking:
    """Ranks networks by a challenge's rules.

    Args:
        entries: One per network, with distinct keys.
        challenge: Gates and tracks.
        constraints: `report` ranks all that pass the PSNR gates, as the challenge's paper does; `enforce` also applies
            each track's own constraints.
        ranges: Certainty of ranges and brackets, as for `uncertainty`.
        baseline: Network that ratios are relative to, if it is not the challenge's.
        conditions: Conditions of the measurements, as short phrases.
        notes: Footnotes to print before the table's own.
    """
    # The order of the files must not change what resampling draws.
    rows = [_gated(entry, challenge) for entry in sorted(entries, key=lambda entry: entry.key)]
    ranked = [row for row in rows if row.ranked]
    classes = [[row for row in ranked if row.entry.precision == one] for one in get_args(Precision)]
    placed = [row for alike in classes if alike for row in _placed(alike, challenge, constraints, ranges)]
    rows = placed + [row for row in rows if not row.ranked]
    rows.sort(key=lambda row: _order(row, challenge.tracks[0].key))
    return Ranking(
        challenge=challenge.name,
        title=challenge.title,
        baseline=baseline or challenge.baseline,
        constraints=constraints,
        tracks=challenge.tracks,
        source=entries[0].source if entries else "measured",
        conditions=tuple(conditions),
        rows=tuple(rows),
        correlations=correlations([row.entry for row in ranked], metrics_of(challenge.tracks), SEED),
        changes=_changes(rows, flops_of(challenge.tracks)),
        ranges=ranges,
        notes=(*notes, *table_notes(rows, challenge, constraints, ranges)),
    )


def _gated(entry: Entry, challenge: Challenge) -> Row:
    gates = gate_results(entry, challenge)
    why = excluded(entry, gates)
    return Row(entry, gates, ranked=why is None, excluded=why, notes=entry_notes(entry, gates, why))


def _placed(rows: Sequence[Row], challenge: Challenge, constraints: Constraints, ranges: Ranges) -> list[Row]:
    entries = [row.entry for row in rows]
    ranks = metric_ranks(entries)
    tracks = {track.key: places(entries, ranks, track, constraints == "enforce") for track in challenge.tracks}
    ratios = [measured(one.figures.ratio or 0.0, one.figures.ratio_interval, one.confidence) for one in entries]
    unsure = uncertainty(ratios, ranges)
    return [
        replace(
            row,
            ranks=ranks[index],
            places={key: column[index] for key, column in tracks.items()},
            rank_interval=unsure.intervals[index],
            brackets=unsure.brackets[index],
        )
        for index, row in enumerate(rows)
    ]


def _order(row: Row, track: str) -> tuple[bool, bool, int, float, float, str]:
    """Ranked networks by precision class and place in a track, the others by ratio, the challenge's baselines last."""
    place = row.places.get(track, Place(None, row.entry.figures.ratio))
    group = get_args(Precision).index(row.entry.precision)
    return row.entry.reference, not row.ranked, group, place.rank or math.inf, place.score or math.inf, row.entry.key


def _changes(rows: Sequence[Row], metric: Metric) -> tuple[PlaceChange, ...]:
    """Networks that the two counts rank differently, those first whose own count was incomplete."""
    found = [
        PlaceChange(
            key=row.entry.key,
            metric=metric,
            flops_rank=row.ranks[metric],
            macs_rank=row.ranks["macs"],
            flops=row.entry.figures.metric(metric) or 0,
            macs=row.entry.figures.macs or 0,
            missed_by_hooks=row.entry.missed_by_hooks if metric == "flops" else {},
        )
        for row in rows
        if "macs" in row.ranks and metric in row.ranks and row.ranks["macs"] != row.ranks[metric]
    ]
    return tuple(sorted(found, key=lambda change: (not change.missed_by_hooks, change.flops_rank)))
