"""The tables of docs/networks.md that follow from the networks themselves.

`python tests/helpers/networks_page.py` writes them into the page, between its markers.
"""

import inspect
import re
import sys
from functools import cache
from pathlib import Path

from hydra.utils import get_class

from esr.complexity import PeakMemory, peak_memory
from esr.config.schema import ModelConf
from helpers.synthetic import configurations

PAGE = Path(__file__).resolve().parents[2] / "docs" / "networks.md"
NETWORKS = configurations()
TILE, LARGEST = 256, 510
"""Side of the LR image: the tiles of NL-FFC; the largest image of DIV2K's validation set."""
MIB = 2**20
OFF = {"aaln", "lwfanet", "m_rfdn", "nasnetbn", "nlffc", "resdn"}
"""Networks whose memory with the published lifetimes is more than 2 % off; the page says why."""


@cache
def memory(name: str) -> PeakMemory:
    """Of one pass over the largest image, as in the challenge."""
    side = TILE if NETWORKS[name].tile.size else LARGEST
    return peak_memory(get_class(NETWORKS[name]._target_)(**NETWORKS[name].args), side, side)


def ratio(name: str) -> float:
    """Memory with the published lifetimes to the published memory."""
    return memory(name).published / MIB / NETWORKS[name].published["memory_mib"]  # type: ignore[operator, no-any-return]


def networks_table() -> str:
    """Who made what, where it came, and what is new in it."""
    rows = ["| network | team | place | what is new | paper |", "|---|---|---:|---|---|"]
    for name, model in sorted(NETWORKS.items(), key=lambda item: item[1].team_id or 0):
        place = (model.published.get("ranks") or {}).get("main") or "–"
        file = Path(inspect.getfile(get_class(model._target_))).name
        who = f"{model.team}" + (f" ({model.team_id})" if (model.team_id or 0) > 0 else "")
        rows.append(
            f"| [`{name}`](../models/{file}) | {who} | {place} | {news(name, model)} | {paper(model)} |"
        )
    return "\n".join(rows)


def news(name: str, model: ModelConf) -> str:
    """The headline of the network's file; of a configuration of another's, its note."""
    target = get_class(model._target_)
    headline = (sys.modules[target.__module__].__doc__ or "").partition("\n")[0]
    if target.__module__.rpartition(".")[2] == name or not model.note:
        return headline.partition(": ")[2].rstrip(".") or headline.rstrip(".")
    return re.split(r"(?<=[a-z])\. |: |; ", model.note)[0].rstrip(".")


def paper(model: ModelConf) -> str:
    """Venue and link, where there is a paper."""
    if not model.paper:
        return ""
    title = re.search(r'"(.*?)"', model.paper)
    arxiv = re.search(r"arXiv:([\d.]+\d)", model.paper)
    words = title[1] if title else model.paper
    return f"[{words}](https://arxiv.org/abs/{arxiv[1]})" if arxiv else words


def memory_table() -> str:
    """Published, kept and live memory."""
    rows = ["| network | published | kept | kept / published | live |", "|---|---:|---:|---:|---:|"]
    for name in NETWORKS:
        found = memory(name)
        rows.append(
            f"| {name} | {NETWORKS[name].published['memory_mib']:.1f} | {found.published / MIB:.1f} "
            f"| {ratio(name):.3f} | {found.total / MIB:.1f} |"
        )
    return "\n".join(rows)


TABLES = {"networks": networks_table, "memory": memory_table}


def with_tables(page: str) -> str:
    """The page with each table between its markers made anew."""
    for key, table in TABLES.items():
        start, end = f"<!-- {key} -->\n\n", f"\n<!-- end of {key} -->"
        before, _, rest = page.partition(start)
        page = before + start + table() + "\n" + end + rest.partition(end)[2]
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
