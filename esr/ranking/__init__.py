"""Records, or a published table, to ranks with their uncertainty; nothing here needs torch."""

from esr.ranking.challenge import METRICS, Challenge, Metric, Track, load_challenge
from esr.ranking.published import published_entries
from esr.ranking.structures import CONSTRAINTS, Constraints, Entry, Figures, Interval, Ranking, Row
from esr.ranking.table import rank_entries

__all__ = [
    "CONSTRAINTS",
    "METRICS",
    "Challenge",
    "Constraints",
    "Entry",
    "Figures",
    "Interval",
    "Metric",
    "Ranking",
    "Row",
]
__all__ += ["Track", "load_challenge", "published_entries", "rank_entries"]
