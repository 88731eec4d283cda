"""Compares B with A: the same, faster, slower, or inconclusive.

  esr compare host/record.json container/record.json
  esr compare before/ after/ --format markdown        every network that both folders hold

The ratios to the baseline that each record measured beside the network are compared. Exit code: 0 the same,
3 faster or slower, 4 inconclusive, 2 usage error. docs/measuring.md explains the decision.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from esr.cli.parser import Parser, number, one_of
from esr.errors import RecordError

if TYPE_CHECKING:
    from esr.records.compare import Comparison
    from esr.records.files import Record

SAME, DIFFERENT, INCONCLUSIVE = 0, 3, 4
"""Exit codes; of several comparisons the gravest: different, then inconclusive."""
FORMATS = ("table", "markdown", "json")


def add(parser: Parser) -> None:
    """Declares the command's grammar."""
    from esr.records.compare import MARGIN  # noqa: PLC0415 - only this command needs records

    parser.add_argument("a", type=Path, metavar="A", help="a record, or a folder of records")
    parser.add_argument("b", type=Path, metavar="B", help="the same, to be compared with A")
    parser.add_argument(
        "--margin",
        type=number(float, lambda value: 0 <= value < 1, "a fraction from 0 to below 1, as 0.02 for 2 %"),
        default=MARGIN,
        help=f"largest change that counts as the same ({MARGIN})",
    )
    parser.add_argument("--force", action="store_true", help="compare even if weights, data or counts differ")
    parser.add_argument("--tainted", action="store_true", help="ignore tainted verdicts")
    parser.add_argument("--format", type=one_of(FORMATS), default="table", metavar="|".join(FORMATS), help="(table)")


def run(options: argparse.Namespace) -> int:
    """Compares; returns the exit code."""
    from esr.records.compare import compare, pairs  # noqa: PLC0415 - see `add`

    matched, alone = pairs(_records(options.a), _records(options.b))
    for name in alone:
        print(f"esr: {name}: only on one side, left out", file=sys.stderr)
    if not matched:
        raise RecordError(f"{options.a} and {options.b} hold no record of the same network on the same data")
    comparisons = [compare(a, b, options.margin, force=options.force, tainted=options.tainted) for a, b in matched]
    _write(comparisons, options.format)
    outcomes = {comparison.outcome for comparison in comparisons}
    if outcomes & {"faster", "slower"}:
        return DIFFERENT
    return INCONCLUSIVE if "inconclusive" in outcomes else SAME


def _records(path: Path) -> list["Record"]:
    from esr.records.files import FILE_NAME, load_record  # noqa: PLC0415 - see `add`

    if not path.is_dir() or (path / FILE_NAME).exists():
        return [load_record(path)]
    found = sorted(path.rglob("*.json"))
    files = [file for file in found if file.name == FILE_NAME] or found
    if not files:
        raise RecordError(f"{path}: contains no record; a record is a file {FILE_NAME}")
    return [load_record(file) for file in files]


def _write(comparisons: Sequence["Comparison"], chosen: str) -> None:
    from esr.report import comparison as report  # noqa: PLC0415 - see `add`
    from esr.system.console import console  # noqa: PLC0415

    if chosen == "json":
        print(report.to_json(comparisons), end="")
    elif chosen == "markdown":
        print(report.to_markdown(comparisons), end="")
    else:
        report.print_comparisons(comparisons, console())
