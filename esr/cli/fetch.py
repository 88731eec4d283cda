"""`esr fetch NAME…`: published weights and data sets, from their official places to where `esr` finds them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from esr.cli.parser import INTERRUPTED, Parser

_EPILOG = """\
  esr fetch imdn rlfn              published weights of two networks
  esr fetch --all                  all published weights
  esr fetch div2k_valid            a data set; afterwards data=div2k_valid finds it
  ESR_MIRROR=URL esr fetch imdn    from URL/imdn_baseline.pth instead

Weights go to the first of ESR_ZOO, else to the user's cache; data sets to ESR_DATA, else to the user's data folder.
Sizes and sha256 are checked; a download that was cut goes on where it stopped. docs/fetching.md says more.
"""


def main(arguments: Sequence[str]) -> int:
    """Fetches or lists; returns the exit code, 2 when something could not be fetched."""
    parser = Parser(
        prog="esr fetch",
        description="Fetches published weights and data sets.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks, teams (team04) and data sets")
    parser.add_argument("--all", action="store_true", help="all published weights")
    parser.add_argument("--list", action="store_true", help="only list what there is, and where it is")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where to put it instead")
    parser.add_argument("--jobs", type=_jobs, default=4, metavar="N", help="how many at once (4)")
    parser.add_argument(
        "--format", choices=("published", "safetensors"), default="published", help="convert weights as well"
    )
    options = parser.parse_args(list(arguments))

    # Requests and rich take a fifth of a second, which `--help` need not wait for.
    from esr.zoo import catalogue, fetch, terminal  # noqa: PLC0415

    folder = options.folder.expanduser().absolute() if options.folder else None
    if options.list:
        asked = bool(options.names or options.all)
        everything = [*catalogue.weights().values(), *catalogue.data_sets().values()]
        chosen = catalogue.select(options.names, every_weights=options.all) if asked else everything
        terminal.listing(chosen, folder)
        return 0
    things = catalogue.select(options.names, every_weights=options.all)
    wanted = fetch.Options(folder, options.jobs, options.format == "safetensors")
    try:
        with terminal.Screen() as screen:
            outcomes = fetch.fetch(things, wanted, screen)
    except KeyboardInterrupt:
        print("esr: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return INTERRUPTED
    return 0 if all(outcome.path for outcome in outcomes) else 2


def _jobs(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 64:  # noqa: PLR2004 - more only annoys the server
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 1 to 64")
    return int(text)
