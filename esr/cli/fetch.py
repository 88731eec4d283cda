"""`esr fetch NAME…`: downloads published weights and data sets to the folders where `esr` looks for them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from esr.cli.parser import INTERRUPTED, Parser

if TYPE_CHECKING:
    from esr.config.schema import CheckpointConf

_EPILOG = """\
  esr fetch imdn rlfn              published weights of two networks
  esr fetch --all                  all published weights
  esr fetch div2k_valid            a data set; afterwards data=div2k_valid finds it
  ESR_MIRROR=URL esr fetch imdn    from URL/imdn_baseline.pth instead

Weights go to the first of ESR_ZOO, else to the user's cache; data sets to ESR_DATA, else to the user's data folder.
Sizes and sha256 are verified; an interrupted download is resumed. See docs/fetching.md.
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
    parser.add_argument("--list", action="store_true", help="only list the catalogue, with paths")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="another destination")
    parser.add_argument("--jobs", type=_jobs, default=4, metavar="N", help="simultaneous downloads (4)")
    parser.add_argument(
        "--format", choices=("published", "safetensors"), default="published", help="convert weights as well"
    )
    options = parser.parse_args(list(arguments))

    # Requests and rich take a fifth of a second, which `--help` need not wait for.
    from esr.cli.fetch_screen import FetchScreen, print_catalogue  # noqa: PLC0415
    from esr.zoo import catalogue, fetch  # noqa: PLC0415

    folder = options.folder.expanduser().absolute() if options.folder else None
    if options.list and not (options.names or options.all):
        print_catalogue([*catalogue.weights().values(), *catalogue.data_sets().values()], folder)
        return 0
    assets = catalogue.select(options.names, every_weights=options.all)
    if options.list:
        print_catalogue(assets, folder)
        return 0
    convert = _to_safetensors if options.format == "safetensors" else None
    try:
        with FetchScreen() as screen:
            results = fetch.fetch(assets, screen, folder=folder, jobs=options.jobs, convert=convert)
    except KeyboardInterrupt:
        print("esr: interrupted; rerun to resume", file=sys.stderr)
        return INTERRUPTED
    return 0 if all(result.path for result in results) else 2


def _to_safetensors(path: Path, folder: Path, checkpoint: "CheckpointConf", notes: dict[str, str]) -> Path:
    from esr.networks.convert import to_safetensors  # noqa: PLC0415 - torch, for conversion alone

    return to_safetensors(path, folder, checkpoint, notes)


def _jobs(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 64:  # noqa: PLR2004 - more only annoys the server
        raise argparse.ArgumentTypeError(f"{text}: expected a number from 1 to 64")
    return int(text)
