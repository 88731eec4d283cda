"""Records, or a published table, to ranks with their uncertainty; nothing here needs torch."""

from esr.ranking.challenge import METRICS, Challenge, Metric, Track, load_challenge, metrics_of
from esr.ranking.published import RUNTIMES, Runtime, published_entries, published_ranking
from esr.ranking.structures import CONSTRAINTS, RANGES, Constraints, Entry, Figures, Interval, Ranges, Ranking, Row
from esr.ranking.table import rank_entries

__all__ = [
    "CONSTRAINTS",
    "METRICS",
    "RANGES",
    "RUNTIMES",
    "Challenge",
    "Constraints",
    "Entry",
    "Figures",
    "Interval",
    "Metric",
    "Ranges",
    "Ranking",
    "Row",
]
__all__ += ["Runtime", "Track", "load_challenge", "metrics_of", "published_entries", "published_ranking"]
__all__ += ["rank_entries"]
