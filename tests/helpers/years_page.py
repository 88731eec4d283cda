"""The table of docs/published-times.md: `python tests/helpers/years_page.py` writes it between its markers."""

from pathlib import Path

from esr.ranking.challenge import load_challenge
from esr.ranking.published import RUNTIMES, published_ranking

PAGE = Path(__file__).resolve().parents[2] / "docs" / "published-times.md"
HEADERS = {"mean": "mean", "median": "median", "without_first": "mean without the first image"}


def places_table() -> str:
    """Each network's milliseconds, score and place by each statistic, in the organisers' order."""
    rankings = {one: published_ranking(load_challenge("ntire2026"), runtime=one) for one in RUNTIMES}
    by_name = {one: {row.entry.name: row for row in ranking.rows} for one, ranking in rankings.items()}
    lines = [
        "| network | " + " | ".join(f"{HEADERS[one]} [ms] | score | place" for one in RUNTIMES) + " |",
        "|---|" + "---:|---:|---:|" * len(RUNTIMES),
    ]
    for row in rankings[RUNTIMES[0]].rows:
        if row.ranked or row.entry.reference:
            cells = []
            for one in RUNTIMES:
                other = by_name[one][row.entry.name]
                place = other.places.get("main")
                score = f"{place.score:.5g}" if place and place.score is not None else "–"
                cells += [f"{other.entry.figures.runtime_ms:.2f}", score, str(place.rank) if place else "–"]
            lines.append(f"| {row.entry.name.replace('_', chr(92) + '_')} | {' | '.join(cells)} |")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """The page with the table between its markers replaced by the current one."""
    start, end = "<!-- places -->\n\n", "\n<!-- end of places -->"
    before, _, rest = page.partition(start)
    return before + start + places_table() + "\n" + end + rest.partition(end)[2]


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
