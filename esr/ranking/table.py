"""From entries to the whole ranking."""

from collections.abc import Mapping, Sequence
from typing import Literal

from esr.ranking.challenge import Challenge
from esr.ranking.correlation import correlations
from esr.ranking.gates import gate_results
from esr.ranking.notes import entry_notes, excluded, table_notes
from esr.ranking.structures import Entry, GateResult, PlaceChange, Ranking, Row
from esr.ranking.tracks import metric_ranks, places
from esr.ranking.uncertainty import Uncertainty, uncertainty

SEED = 0

Constraints = Literal["report", "enforce"]
Gates = Mapping[str, tuple[GateResult, ...]]


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
        constraints: `report` ranks all that pass the PSNR gates, as the challenge's paper does; `enforce` also asks for
            what each track's own rules ask for.
        baseline: What ratios are relative to, if it is not the challenge's.
        conditions: Under what they were measured, in short phrases.
        notes: Footnotes to print before the table's own.
        seed: Of every resampling.
    """
    # Resampling goes network by network: the order of the files must not change what it draws.
    entries = sorted(entries, key=lambda entry: entry.key)
    gates = {entry.key: gate_results(entry, challenge) for entry in entries}
    reasons = {entry.key: excluded(entry, gates[entry.key]) for entry in entries}
    ranked = [entry for entry in entries if reasons[entry.key] is None]
    unsure = uncertainty(
        [entry.figures.ratio or 0.0 for entry in ranked],
        [entry.ratio_per_round for entry in ranked],
        [entry.process_of_round for entry in ranked],
        seed,
    )
    first = _ranked_rows(ranked, gates, unsure, challenge, constraints)
    last = _other_rows([entry for entry in entries if reasons[entry.key]], gates, reasons)
    return Ranking(
        challenge=challenge.name,
        title=challenge.title,
        baseline=baseline or challenge.baseline,
        constraints=constraints,
        tracks=challenge.tracks,
        source=entries[0].source if entries else "measured",
        conditions=tuple(conditions),
        rows=(*first, *last),
        correlations=correlations(ranked, seed),
        changes=_changes(first),
        resamples=unsure.resamples,
        notes=(*notes, *table_notes((*first, *last), challenge, constraints)),
    )


def _ranked_rows(
    ranked: Sequence[Entry],
    gates: Gates,
    unsure: Uncertainty,
    challenge: Challenge,
    constraints: Constraints,
) -> list[Row]:
    """Those that take part, by their place in the first track."""
    ranks = metric_ranks(ranked)
    tracks = {track.key: places(ranked, ranks, track, constraints == "enforce") for track in challenge.tracks}
    rows = [
        Row(
            entry=entry,
            gates=gates[entry.key],
            ranked=True,
            excluded=None,
            ranks=ranks[index],
            places={key: column[index] for key, column in tracks.items()},
            rank_interval=unsure.intervals[index],
            brackets=unsure.brackets[index],
            notes=entry_notes(entry, gates[entry.key]),
        )
        for index, entry in enumerate(ranked)
    ]
    return sorted(rows, key=lambda row: _order(row, challenge.tracks[0].key))


def _other_rows(others: Sequence[Entry], gates: Gates, reasons: Mapping[str, str | None]) -> list[Row]:
    """Those that do not: the challenge's baselines last."""
    rows = [
        Row(
            entry=entry,
            gates=gates[entry.key],
            ranked=False,
            excluded=reasons[entry.key],
            ranks={},
            places={},
            rank_interval=None,
            brackets=(),
            notes=entry_notes(entry, gates[entry.key]),
        )
        for entry in others
    ]
    return sorted(
        rows, key=lambda row: (row.entry.reference, row.entry.figures.ratio or float("inf"), row.entry.key)
    )


def _order(row: Row, track: str) -> tuple[float, float, str]:
    place = row.places[track]
    last = float("inf")
    return (
        last if place.rank is None else place.rank,
        last if place.score is None else place.score,
        row.entry.key,
    )


def _changes(rows: Sequence[Row]) -> tuple[PlaceChange, ...]:
    """Networks that the two counts place differently, those first whose own count was incomplete."""
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
