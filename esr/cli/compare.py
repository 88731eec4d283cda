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
from esr.text import printable, shown_path

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

    left, right = _records(options.a), _records(options.b)
    alone: list[str] = []
    if len(left) == len(right) == 1:
        matched = [(left[0], right[0])]  # whatever their networks are called
    else:
        matched, alone = pairs(left, right)
    for name in alone:
        print(f"esr: {printable(name)}: only on one side, left out", file=sys.stderr)
    if not matched:
        both = f"{shown_path(options.a)} and {shown_path(options.b)}"
        raise RecordError(f"{both} hold no record of the same network on the same data; name two files")
    comparisons = [compare(a, b, options.margin, force=options.force, tainted=options.tainted) for a, b in matched]
    _write(comparisons, options.format)
    outcomes = {comparison.outcome for comparison in comparisons}
    if outcomes & {"faster", "slower"}:
        return DIFFERENT
    return INCONCLUSIVE if "inconclusive" in outcomes else SAME


def _records(path: Path) -> list["Record"]:
    """Every record below a folder, or the one that is named; other JSON in a folder is no concern."""
    from esr.records.files import FILE_NAME, NotARecord, load_record  # noqa: PLC0415 - see `add`
    from esr.records.finding import LeftOut, json_files  # noqa: PLC0415

    if path.is_dir() and (path / FILE_NAME).exists():
        path /= FILE_NAME
    left_out: list[LeftOut] = []
    found = list(json_files([path], left_out))
    for one in left_out:
        print(f"esr: left out {shown_path(one.path)}: {printable(one.reason)}", file=sys.stderr)
    named_so = [file for file, _ in found if file.name == FILE_NAME]
    records = []
    for file, named in found:
        try:
            records.append(load_record(file))
        except NotARecord:
            if named or file in named_so:
                raise
    if not records:
        raise RecordError(f"{shown_path(path)}: contains no record; a record is a file {FILE_NAME}")
    return records


def _write(comparisons: Sequence["Comparison"], chosen: str) -> None:
    from esr.report import comparison as report  # noqa: PLC0415 - see `add`
    from esr.system.console import console  # noqa: PLC0415

    if chosen == "json":
        print(report.to_json(comparisons), end="")
    elif chosen == "markdown":
        print(report.to_markdown(comparisons), end="")
    else:
        report.print_comparisons(comparisons, console())
