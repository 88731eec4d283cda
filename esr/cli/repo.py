"""Lists the networks of a challenge's repository, without running any of its code.

  esr repo list ~/NTIRE2026_ESR                        ids, names, weights, missing packages, what deserves a look
  esr repo list ~/NTIRE2026_ESR --format json
  esr model=repo repo=~/NTIRE2026_ESR id=22            one, against the repository's own baseline
  esr -m model=repo repo=~/NTIRE2026_ESR id=all        all of them

See docs/challenge-repositories.md.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from esr.cli.parser import Parser, add_format, one_of, print_json

if TYPE_CHECKING:
    from esr.config.repository import Branch, Layout

_ACTIONS = ("list",)
_SENTENCES = ("weights", "packages missing", "worth a look")
_HEADERS = ("id", "name", "range", *_SENTENCES)


class Listed(msgspec.Struct, frozen=True):
    """A network as `esr repo list` shows it."""

    id: int
    name: str
    data_range: float
    weights: tuple[str, ...]
    weights_missing: tuple[str, ...]
    packages_missing: tuple[str, ...]
    suspicious: tuple[str, ...]


def add(parser: Parser) -> None:
    """Declares the command's grammar."""
    parser.add_argument("action", type=one_of(_ACTIONS), metavar="list")
    parser.add_argument("repo", type=Path, metavar="DIR", help="checkout of a challenge's repository")
    add_format(parser)


def run(options: argparse.Namespace) -> int:
    """Prints the networks; returns the exit code."""
    from esr.config.repository import read_layout  # noqa: PLC0415 - `--help` does without
    from esr.zoo.repository import state  # noqa: PLC0415

    layout = read_layout(options.repo)
    rows = [listed(layout, entry) for entry in layout.entries]
    commit, changed = state(layout.root)
    if options.format == "json":
        report = {"repository": str(layout.root), "commit": commit, "changed": changed, "baseline": layout.baseline.id}
        print_json(report | {"networks": rows})
        return 0
    _print(layout, rows)
    missing = sum(bool(row.weights_missing) for row in rows)
    packages = sorted({name for row in rows for name in row.packages_missing})
    print(f"\n{len(rows)} networks, {missing} without their weights; baseline: id {layout.baseline.id}")
    print(f"commit {commit or 'unknown'}, {_state(changed)}")
    if packages:
        print(f"packages to install: pip install {' '.join(packages)}")
    return 0


def listed(layout: "Layout", entry: "Branch") -> Listed:
    """A network with what its source files say."""
    from esr.config.repository_sources import examine  # noqa: PLC0415 - see `run`

    sources = examine(layout, entry)
    missing = tuple(layout.missing(entry))
    return Listed(entry.id, entry.name, entry.data_range, entry.weights, missing, sources.packages, sources.suspicious)


def _state(changed: tuple[str, ...] | None) -> str:
    if changed is None:
        return "differences not known (no git, or no checkout)"
    from esr.text import listed as shortened  # noqa: PLC0415 - see `run`

    return f"changed files: {len(changed)} ({shortened(changed)})" if changed else "unchanged"


def _print(layout: "Layout", rows: list[Listed]) -> None:
    from esr.report.fitting import print_fitting, texts  # noqa: PLC0415 - see `run`
    from esr.system.console import console  # noqa: PLC0415

    cells = []
    for row in rows:
        absent = ", ".join(row.weights_missing)
        weights = f"missing: {absent}" if absent else ", ".join(Path(name).name for name in row.weights) or "none named"
        packages = " ".join(row.packages_missing)
        phrases = "; ".join(dict.fromkeys(reason.partition(" (")[0] for reason in row.suspicious))  # without places
        cells.append((str(row.id), row.name, f"{row.data_range:g}", weights, packages, phrases))
    screen = console()
    screen.print(layout.root.name)
    grid = texts(_HEADERS, cells, left=("name", *_SENTENCES))
    print_fitting(grid, screen, ("range", "packages missing"), gap=2, sentences=_SENTENCES)
