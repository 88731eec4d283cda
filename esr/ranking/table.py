"""The whole ranking, from its entries."""

from collections.abc import Sequence
from dataclasses import replace

from esr.ranking.challenge import Challenge
from esr.ranking.correlation import correlations
from esr.ranking.gates import gate_results
from esr.ranking.notes import entry_notes, excluded, table_notes
from esr.ranking.structures import Constraints, Entry, PlaceChange, Ranking, Row
from esr.ranking.tracks import metric_ranks, places
from esr.ranking.uncertainty import Uncertainty, uncertainty

SEED = 0


def rank_entries(
    entries: Sequence[Entry],
    challenge: Challenge,
    constraints: Constraints = "report",
    *,
    baseline: str | None = None,
    conditions: Sequence[str] = (),
    notes: Sequence[str] = (),
    seed: int = SEED,
) -> Ranking:
    """Ranks networks by a challenge's rules.

    Args:
        entries: One per network, with distinct keys.
        challenge: Gates and tracks.
        constraints: `report` ranks all that pass the PSNR gates, as the challenge's paper does; `enforce` also applies
            each track's own constraints.
        baseline: Network that ratios are relative to, if it is not the challenge's.
        conditions: Conditions of the measurements, as short phrases.
        notes: Footnotes to print before the table's own.
        seed: Seed of every resampling.
    """
    # Resampling goes network by network: the order of the files must not change what it draws.
    rows = [_gated(entry, challenge) for entry in sorted(entries, key=lambda entry: entry.key)]
    ranked = [row.entry for row in rows if row.ranked]
    unsure = uncertainty(
        [entry.figures.ratio or 0.0 for entry in ranked],
        [entry.ratio_per_round for entry in ranked],
        [entry.process_of_round for entry in ranked],
        seed,
    )
    first = _placed([row for row in rows if row.ranked], unsure, challenge, constraints)
    everything = (*first, *sorted((row for row in rows if not row.ranked), key=_last))
    return Ranking(
        challenge=challenge.name,
        title=challenge.title,
        baseline=baseline or challenge.baseline,
        constraints=constraints,
        tracks=challenge.tracks,
        source=entries[0].source if entries else "measured",
        conditions=tuple(conditions),
        rows=everything,
        correlations=correlations(ranked, seed),
        changes=_changes(first),
        resamples=unsure.resamples,
        notes=(*notes, *table_notes(everything, challenge, constraints)),
    )


def _gated(entry: Entry, challenge: Challenge) -> Row:
    gates = gate_results(entry, challenge)
    why = excluded(entry, gates)
    return Row(entry, gates, ranked=why is None, excluded=why, notes=entry_notes(entry, gates))


def _placed(rows: Sequence[Row], unsure: Uncertainty, challenge: Challenge, constraints: Constraints) -> list[Row]:
    """Ranked networks, by their place in the first track."""
    entries = [row.entry for row in rows]
    ranks = metric_ranks(entries)
    tracks = {track.key: places(entries, ranks, track, constraints == "enforce") for track in challenge.tracks}
    placed = [
        replace(
            row,
            ranks=ranks[index],
            places={key: column[index] for key, column in tracks.items()},
            rank_interval=unsure.intervals[index],
            brackets=unsure.brackets[index],
        )
        for index, row in enumerate(rows)
    ]
    return sorted(placed, key=lambda row: _order(row, challenge.tracks[0].key))


def _last(row: Row) -> tuple[bool, float, str]:
    # Baselines of the challenge come after networks that missed a gate or failed.
    return row.entry.reference, row.entry.figures.ratio or float("inf"), row.entry.key


def _order(row: Row, track: str) -> tuple[float, float, str]:
    place, last = row.places[track], float("inf")
    return (
        last if place.rank is None else place.rank,
        last if place.score is None else place.score,
        row.entry.key,
    )


def _changes(rows: Sequence[Row]) -> tuple[PlaceChange, ...]:
    """Networks that the two counts rank differently, those first whose own count was incomplete."""
    found = [
        PlaceChange(
            key=row.entry.key,
            flops_rank=row.ranks["flops"],
            macs_rank=row.ranks["macs"],
            flops=row.entry.figures.flops or 0,
            macs=row.entry.figures.macs or 0,
            missed_by_hooks=row.entry.missed_by_hooks,
        )
        for row in rows
        if "macs" in row.ranks and "flops" in row.ranks and row.ranks["macs"] != row.ranks["flops"]
    ]
    return tuple(sorted(found, key=lambda change: (not change.missed_by_hooks, change.flops_rank)))
