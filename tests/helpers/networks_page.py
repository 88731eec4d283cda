"""The table of docs/networks.md that follows from the networks themselves.

`python tests/helpers/networks_page.py` writes it into the page, between its markers.
"""

import inspect
import re
import sys
from pathlib import Path

from hydra.utils import get_class

from esr.config.schema import ModelConf
from helpers.synthetic import configurations

PAGE = Path(__file__).resolve().parents[2] / "docs" / "networks.md"
NETWORKS = configurations()


def networks_table() -> str:
    """Network, team, place, contribution and paper."""
    rows = ["| network | team | place | what is new | paper |", "|---|---|---:|---|---|"]
    for name, model in sorted(NETWORKS.items(), key=lambda item: item[1].team_id or 0):
        place = (model.published.get("ranks") or {}).get("main") or "–"
        file = Path(inspect.getfile(get_class(model._target_))).name
        who = f"{model.team}" + (f" ({model.team_id})" if (model.team_id or 0) > 0 else "")
        rows.append(f"| [`{name}`](../models/{file}) | {who} | {place} | {news(name, model)} | {paper(model)} |")
    return "\n".join(rows)


def news(name: str, model: ModelConf) -> str:
    """The headline of the network's file, or the note of a configuration of another network's class."""
    target = get_class(model._target_)
    headline = (sys.modules[target.__module__].__doc__ or "").partition("\n")[0]
    if target.__module__.rpartition(".")[2] == name or not model.note:
        return headline.partition(": ")[2].rstrip(".") or headline.rstrip(".")
    note = re.split(r"(?<=[a-z])\. |: |; ", model.note)[0].rstrip(".")
    return re.sub(r"^(A|The)\b", lambda article: article[0].lower(), note)


def paper(model: ModelConf) -> str:
    """Title and link of the paper; empty without one."""
    if not model.paper:
        return ""
    title = re.search(r'"(.*?)"', model.paper)
    arxiv = re.search(r"arXiv:([\d.]+\d)", model.paper)
    words = title[1] if title else model.paper
    return f"[{words}](https://arxiv.org/abs/{arxiv[1]})" if arxiv else words


def with_table(page: str) -> str:
    """The page with the table between its markers replaced by the current one."""
    start, end = "<!-- networks -->\n\n", "\n<!-- end of networks -->"
    before, _, rest = page.partition(start)
    return before + start + networks_table() + "\n" + end + rest.partition(end)[2]


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
