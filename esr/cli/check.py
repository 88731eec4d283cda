"""Checks submissions before they are measured, and says what each team must fix.

  esr check submissions/*/                     a folder each: a YAML, a .py with weights, or a challenge's repository
  esr check submissions/*/ --format markdown   a table to send back
  esr check submissions/*/ --no-run            files alone: nothing of a submission is run

Structure, licence, size, weights and names are checked first; then each network upscales one image of 64×64 pixels in a
worker of its own. Exit code 0 if all are ready, 1 if one is not.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from esr.cli.parser import Parser, add_format, print_json
from esr.text import shown_path

if TYPE_CHECKING:
    from esr.doctor.intake import HandedIn

_HEADERS = ("network", "folder", "ready", "params [M]", "claimed [M]", "MACs [G]", "to fix", "notes")
_SENTENCES = ("to fix", "notes")
_LEFT_OUT_FIRST = ("claimed [M]", "MACs [G]", "params [M]", "folder")
"""Columns that a narrow terminal does without, in this order."""


def add(parser: Parser) -> None:
    """Declares the command's grammar."""
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="folder of a submission, or its YAML")
    add_format(parser, "markdown")
    parser.add_argument("--no-run", action="store_true", help="check files alone")


def run(options: argparse.Namespace) -> int:
    """Prints the table; returns the exit code."""
    from esr.doctor import intake  # noqa: PLC0415 - `--help` does without OmegaConf

    found = intake.submissions(options.folders)
    if not options.no_run:
        for one in found:
            intake.dry_run(one)
    ready = sum(one.ready for one in found)
    if options.format == "json":
        print_json([_plain(one) for one in found])
    else:
        _print([_row(one) for one in found], as_markdown=options.format == "markdown")
        print(f"\n{ready} of {len(found)} networks are ready")
    return 0 if ready == len(found) else 1


def _plain(one: "HandedIn") -> dict[str, object]:
    """A submission for other programs."""
    return {
        "network": one.name,
        "folder": shown_path(one.path),
        **{name: getattr(one, name) for name in ("ready", "complexity", "claims", "problems", "notes")},
    }


def _row(one: "HandedIn") -> tuple[str, ...]:
    from esr.report.wording import number  # noqa: PLC0415 - see `run`

    counted, claims = one.complexity, one.claims
    return (
        one.name,
        (one.path.parent if one.path.suffix in (".yaml", ".yml") else one.path).absolute().name,
        "yes" if one.ready else "no",
        number(counted.params if counted else None, 3, 1e6),
        number(claims.params_m if claims else None, 3),
        number(counted.macs if counted else None, 2, 1e9),
        "; ".join(one.problems),
        "; ".join(one.notes),
    )


def _print(rows: list[tuple[str, ...]], *, as_markdown: bool) -> None:
    from esr.report import markdown  # noqa: PLC0415 - see `run`
    from esr.report.fitting import print_fitting, texts  # noqa: PLC0415
    from esr.system.console import console  # noqa: PLC0415

    grid = texts(_HEADERS, rows, left=("network", "folder", "ready", *_SENTENCES))
    if as_markdown:
        print(markdown.drawn(grid))
    else:
        print_fitting(grid, console(), _LEFT_OUT_FIRST, gap=2, sentences=_SENTENCES)
