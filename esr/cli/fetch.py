"""Fetches published weights and data sets.

  esr fetch imdn rlfn              published weights of two networks
  esr fetch --all                  all published weights
  esr fetch div2k_valid            a data set; afterwards data=div2k_valid finds it
  ESR_MIRROR=URL esr fetch imdn    from URL/imdn_baseline.pth instead

Weights go to the first folder in ESR_ZOO, else to the user's cache; data sets to ESR_DATA, else to the user's data
folder. Sizes and sha256 are checked; an interrupted download resumes where it stopped. See docs/fetching.md.
"""

import argparse
from pathlib import Path

from esr.cli.parser import Parser, number, one_of
from esr.system.files import expanded

FORMATS = ("published", "safetensors")
_MOST_JOBS = 64
"""Parallel downloads; more would only be throttled by the server."""


def add(parser: Parser) -> None:
    """Declares the command's grammar."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks, teams (team04) and data sets")
    parser.add_argument("--all", action="store_true", help="all published weights")
    parser.add_argument("--list", action="store_true", help="list what is available, and where it is")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="target folder")
    valid = number(int, lambda value: 1 <= value <= _MOST_JOBS, f"a number from 1 to {_MOST_JOBS}")
    parser.add_argument("--jobs", type=valid, default=4, metavar="N", help="parallel downloads (4)")
    what = "format of the weights; safetensors are converted after the download (published)"
    parser.add_argument("--format", type=one_of(FORMATS), default=FORMATS[0], metavar="|".join(FORMATS), help=what)


def run(options: argparse.Namespace) -> int:
    """Fetches or lists; returns the exit code, 2 if something could not be fetched."""
    # Requests and rich take a fifth of a second to import, which `--help` does without.
    from esr.cli.fetch_screen import FetchScreen, print_catalogue  # noqa: PLC0415
    from esr.zoo import catalogue, fetch  # noqa: PLC0415

    folder = expanded(options.folder).absolute() if options.folder else None
    if options.list and not (options.names or options.all):
        assets = [*catalogue.weights().values(), *catalogue.data_sets().values()]
    else:
        assets = catalogue.select(options.names, every_weights=options.all)
    if options.list:
        print_catalogue(assets, folder)
        return 0
    convert: fetch.Converter | None = None
    if options.format == "safetensors":
        from esr.networks.convert import to_safetensors as convert  # noqa: PLC0415 - torch, for conversion alone
    with FetchScreen() as screen:
        results = fetch.fetch(assets, screen, folder=folder, jobs=options.jobs, convert=convert)
    return 0 if all(result.path for result in results) else 2
