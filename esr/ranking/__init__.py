"""Records, or a published table, to ranks with their uncertainty; nothing here needs torch."""

from esr.ranking.challenge import METRICS, Challenge, Metric, Track, load_challenge, metrics_of
from esr.ranking.published import RUNTIMES, Runtime, published_entries, published_ranking
from esr.ranking.structures import Constraints, Entry, Figures, Interval, Ranking, Row
from esr.ranking.table import rank_entries

__all__ = [
    "METRICS",
    "RUNTIMES",
    "Challenge",
    "Constraints",
    "Entry",
    "Figures",
    "Interval",
    "Metric",
    "Ranking",
    "Row",
]
__all__ += ["Row", "Runtime", "Track", "load_challenge", "metrics_of", "published_entries", "published_ranking"]
__all__ += ["rank_entries"]
