"""Records, or a published table, to ranks with their uncertainty; nothing here needs torch."""

from esr.ranking.challenge import METRICS, Challenge, Metric, Track, load_challenge
from esr.ranking.published import published_entries
from esr.ranking.structures import (
    Correlation,
    Entry,
    Figures,
    GateResult,
    Interval,
    Place,
    PlaceChange,
    Ranking,
    Row,
)
from esr.ranking.table import Constraints, rank_entries

__all__ = [
    "METRICS",
    "Challenge",
    "Constraints",
    "Correlation",
    "Entry",
    "Figures",
    "GateResult",
    "Interval",
    "Metric",
    "Place",
    "PlaceChange",
    "Ranking",
    "Row",
    "Track",
    "load_challenge",
    "published_entries",
    "rank_entries",
]
