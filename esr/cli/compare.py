"""Compares records: of one network, B with A; of different networks, which is faster.

  esr compare host/record.json container/record.json
  esr compare before/ after/ --format markdown        every network that both folders hold
  esr compare rlfn/ rfdn/                             two networks: which is faster, by how much
  esr compare multirun/latest                         all of a folder against each other, as a matrix

The ratios to the baseline that each record measured beside the network are compared. Exit code: 0 the same,
3 faster or slower, 4 inconclusive, 2 usage error. docs/measuring.md explains the decision.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from esr.cli.advice import refuse_networks
from esr.cli.parser import Parser, add_format, number
from esr.errors import RecordError
from esr.text import one_line, printable, shown_path

if TYPE_CHECKING:
    from esr.records.compare import Comparison
    from esr.records.files import Record

SAME, DIFFERENT, INCONCLUSIVE = 0, 3, 4
"""Exit codes; of several comparisons the gravest: different, then inconclusive."""
MOST_NETWORKS = 20
"""Networks of a matrix; more are ranked."""


def add(parser: Parser) -> None:
    """Declares the command's grammar."""
    parser.add_argument(
        "paths", type=Path, nargs="+", metavar="RECORDS", help="records, or folders of records: A, B, …"
    )
    add_margin(parser, "largest change that counts as the same")
    parser.add_argument("--force", action="store_true", help="compare even if weights, data or counts differ")
    parser.add_argument("--tainted", action="store_true", help="ignore tainted verdicts")
    add_format(parser, "markdown")


def add_margin(parser: Parser, what: str) -> None:
    """Declares `--margin`.

    Args:
        parser: Of a command that compares two records.
        what: Its help.
    """
    from esr.records.compare import MARGIN  # noqa: PLC0415 - only these commands need records

    valid = number(float, lambda value: 0 <= value < 1, "a fraction from 0 to below 1, as 0.02 for 2 %")
    parser.add_argument("--margin", type=valid, default=MARGIN, help=f"{what} ({MARGIN})")


def run(options: argparse.Namespace) -> int:
    """Compares; returns the exit code."""
    refuse_networks(
        [str(path) for path in options.paths],
        "esr model={first} baseline={second} measures two networks beside each other",
    )
    sides = [records_at(path) for path in options.paths]
    matched, alone = _matched(sides)
    if not matched:
        return _contests([record for side in sides for record in side], options)
    from esr.records.compare import compare  # noqa: PLC0415 - see `add`

    for name in alone:
        print(f"esr: {printable(name)}: only on one side, left out", file=sys.stderr)
    comparisons = [compare(a, b, options.margin, force=options.force, tainted=options.tainted) for a, b in matched]
    _write(comparisons, options.format)
    outcomes = {comparison.outcome for comparison in comparisons}
    if outcomes & {"faster", "slower"}:
        return DIFFERENT
    return INCONCLUSIVE if "inconclusive" in outcomes else SAME


def _matched(sides: Sequence[Sequence["Record"]]) -> tuple[list[tuple["Record", "Record"]], list[str]]:
    """Records of one network on two sides, and the networks of only one; nothing where different ones are compared."""
    from esr.records.compare import pairs  # noqa: PLC0415 - see `add`
    from esr.records.contest import are_different  # noqa: PLC0415

    if len(sides) != 2:  # noqa: PLR2004 - A and B
        return [], []
    left, right = sides
    if len(left) == len(right) == 1:  # whatever one network is called
        return ([], []) if are_different(left[0], right[0]) else ([(left[0], right[0])], [])
    return pairs(left, right)


def _contests(records: Sequence["Record"], options: argparse.Namespace) -> int:
    """Different networks against each other, fastest first."""
    from esr.records.contest import contest  # noqa: PLC0415 - see `add`
    from esr.report import contest as report  # noqa: PLC0415
    from esr.system.console import console  # noqa: PLC0415

    named = _apart(records, " ".join(str(shown_path(path)) for path in options.paths))
    named.sort(key=lambda record: record.ratio.value if record.ratio else float("inf"))
    found = [contest(a, b, force=options.force, tainted=options.tainted) for a in named for b in named if a is not b]
    if options.format == "table":
        report.print_contests(named, found, console())
    else:
        print(report.to_json(found) if options.format == "json" else report.to_markdown(named, found), end="")
    return INCONCLUSIVE if found[0].outcome == "inconclusive" else DIFFERENT


def _apart(records: Sequence["Record"], shown: str) -> list["Record"]:
    """The newest clean record of each network, under a name that tells it from the others.

    Raises:
        RecordError: There are too few networks, or too many.
    """
    from esr.ranking.collection import collect_records  # noqa: PLC0415 - one network needs no names

    collection = collect_records(records)
    if older := len(collection.left_out):
        print(f"esr: left out {older} older or failed records of the same networks", file=sys.stderr)
    at = {str(record.path): record for record in records}
    named = [at[one.entry.path or ""].named(one.entry.key) for one in collection.kept]
    if len(named) < 2:  # noqa: PLR2004 - one network alone
        raise RecordError(f"{shown}: nothing to compare with {one_line(named[0].candidate.name)}; name another record")
    if len(named) > MOST_NETWORKS:
        raise RecordError(
            f"{shown}: {len(named)} networks, too many for a matrix ({MOST_NETWORKS}); esr rank ranks them"
        )
    return named


def records_at(path: Path) -> list["Record"]:
    """Every record below a folder, or the one that is named; a line for each file that cannot be read."""
    from esr.records import finding  # noqa: PLC0415 - see `add`

    left_out: list[finding.LeftOut] = []
    try:
        return finding.records_at(path, left_out)
    finally:
        for one in left_out:
            print(f"esr: left out {shown_path(one.path)}: {printable(one.reason)}", file=sys.stderr)


def _write(comparisons: Sequence["Comparison"], chosen: str) -> None:
    from esr.report import comparison as report  # noqa: PLC0415 - see `add`
    from esr.system.console import console  # noqa: PLC0415

    if chosen == "table":
        report.print_comparisons(comparisons, console())
    else:
        print(report.to_json(comparisons) if chosen == "json" else report.to_markdown(comparisons), end="")
