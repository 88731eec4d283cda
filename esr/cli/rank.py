"""Ranks measured networks by a challenge's rules.

  esr rank outputs                                every record below a folder
  esr rank outputs multirun --format html --out report.html
  esr rank outputs challenge=ntire2024 --format latex
  esr rank outputs --format latex columns=place,network,ratio,params,rank_params
  esr rank outputs --format pdf chart=ranks --out ranks.pdf
  esr rank outputs exclude='NAME: REASON'         a network without a rank, and the reason below the table
  esr rank --published ntire2026                  a challenge's own table, recomputed

Records of one network on several data sets are joined. A file that cannot be used is named and left out.

  challenge=ntire2022|…|ntire2026|PATH.yaml  the rules (ntire2022)
  constraints=report|enforce                 all that pass the PSNR gate; enforce: each track's own limits, too
  require=honest|clean|any                   honest: not if its figures describe other work than was judged
  ranges=together|one_by_one                 rank ranges that hold all together, or for each pair by itself

docs/ranking.md explains the table.
"""

import argparse
import gc
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from esr.cli.advice import refuse_networks
from esr.cli.parser import Parser, add_format, key_values, one_of
from esr.errors import ConfigError
from esr.text import did_you_mean, one_line, shown_path

if TYPE_CHECKING:
    from esr.ranking.structures import Constraints, Ranges, Ranking
    from esr.records.document import Document

CHARTS = ("pdf", "svg")
FORMATS = ("markdown", "csv", "latex", "html", *CHARTS)
PLOTS = ("runtime", "ranks")
"""As in `esr.report.plots`."""
RUNTIMES = ("mean", "median", "without_first")
"""As in `esr.ranking.published`, which `--help` does without."""
DEFAULTS = {
    "challenge": "ntire2022",
    "constraints": "report",
    "require": "honest",
    "ranges": "together",
    "columns": "",
    "chart": PLOTS[0],
}
_EXCLUDE = "exclude="


def add(parser: Parser) -> None:
    """Declares the command's grammar."""
    parser.keys = (*DEFAULTS, "exclude")
    parser.add_argument("words", nargs="*", metavar="RESULTS", help="record files or folders of them, and KEY=VALUE")
    parser.add_argument("--published", action="store_true", help="rank a challenge's published figures")
    what = "with --published: statistic of the published times per image (mean)"
    parser.add_argument("--runtime", type=one_of(RUNTIMES), default=RUNTIMES[0], metavar="|".join(RUNTIMES), help=what)
    parser.add_argument("--mixed", action="store_true", help="rank ratios across devices and settings")
    add_format(parser, *FORMATS)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write to a file instead of the screen")


def run(options: argparse.Namespace) -> int:
    """Ranks; returns the exit code."""
    # A short run creates many objects and no cycles: collecting cycles takes a fifth of the time for 10,000 records.
    gc.disable()
    try:
        return _run(options)
    finally:
        gc.freeze()  # nor at the exit
        gc.enable()


def _run(options: argparse.Namespace) -> int:
    paths = [word for word in options.words if "=" not in word or Path(word).exists()]
    given = [word for word in options.words if word not in paths]
    excluded = [word.removeprefix(_EXCLUDE) for word in given if word.startswith(_EXCLUDE)]
    plain = [word for word in given if not word.startswith(_EXCLUDE)]
    settings = DEFAULTS | key_values(plain, [*DEFAULTS, "exclude"])
    from esr.ranking.structures import CONSTRAINTS, RANGES  # noqa: PLC0415 - `--help` is quick

    for key, known in (("constraints", CONSTRAINTS), ("ranges", RANGES), ("chart", PLOTS)):
        if settings[key] not in known:
            raise ConfigError(f"{key}={one_line(settings[key])}: no such choice; {did_you_mean(settings[key], known)}")
    _checked(options, settings)
    if not options.published and options.runtime != RUNTIMES[0]:
        raise ConfigError(f"--runtime {options.runtime}: chooses among published times; add --published")
    ranking, documents = _ranking(settings, excluded, paths, options)
    _write(ranking, documents, options, settings)
    return 0


def _ranking(
    settings: Mapping[str, str], excluded: Sequence[str], paths: Sequence[str], options: argparse.Namespace
) -> tuple["Ranking", Mapping[str, "Document"]]:
    """The ranking, and the records behind it where the format shows them."""
    from esr.ranking.challenge import load_challenge, names  # noqa: PLC0415 - `--help` is quick
    from esr.ranking.collection import collect, rank_records  # noqa: PLC0415
    from esr.ranking.eligibility import eligibility  # noqa: PLC0415
    from esr.ranking.published import published_ranking  # noqa: PLC0415

    rules = eligibility(settings["require"], excluded)
    constraints: Constraints = "enforce" if settings["constraints"] == "enforce" else "report"
    if options.published and paths and (paths[0] in names() or paths[0].endswith((".yaml", ".yml"))):
        settings, paths = {**settings, "challenge": paths[0]}, paths[1:]
    challenge = load_challenge(settings["challenge"])
    if options.published:
        if paths:
            raise ConfigError(_superfluous(paths[0]))
        return published_ranking(challenge, constraints, options.runtime, rules), {}
    if not paths:
        raise ConfigError("nothing to rank: name record files or folders, as esr rank outputs, or --published")
    _refuse_misplaced(paths)
    collection = collect(paths, whole=options.format == "html")
    for found in collection.left_out:
        print(f"esr: left out {shown_path(found.path)}: {one_line(found.reason)}", file=sys.stderr)
    ranges: Ranges = "one_by_one" if settings["ranges"] == "one_by_one" else "together"
    return rank_records(collection, challenge, constraints, options.mixed, rules, ranges), collection.documents


def _superfluous(word: str) -> str:
    """The line on a word beside `--published` that is no challenge."""
    from esr.ranking.challenge import names  # noqa: PLC0415 - `--help` is quick

    if Path(word).exists():
        return f"--published ranks published figures only; leave out {shown_path(word)}"
    return f"--published {one_line(word)}: no such challenge; {did_you_mean(word, names())}"


def _refuse_misplaced(words: Sequence[str]) -> None:
    """Refuses networks, challenges and formats in the place of records.

    Raises:
        ConfigError: The line has the words to type.
    """
    from esr.ranking.challenge import names  # noqa: PLC0415 - `--help` is quick

    refuse_networks(words, "esr -m model={all} measures, then esr rank multirun/latest ranks")
    for word in words:
        if word in names() and not Path(word).exists():
            rules = f"challenge={word} chooses its rules, --published {word} ranks its own table"
            raise ConfigError(f"{word}: a challenge, and no record; {rules}")
        if word in (*FORMATS, "json", "table") and not Path(word).exists():
            raise ConfigError(f"{word}: a format, and no record; write --format {word}")


def _write(
    ranking: "Ranking", documents: Mapping[str, "Document"], options: argparse.Namespace, settings: Mapping[str, str]
) -> None:
    from esr.report.output import write_bytes  # noqa: PLC0415 - see `_ranking`

    chosen, out = options.format, options.out
    if chosen == "table" and out is None:
        from esr.report.ranking_table import print_ranking  # noqa: PLC0415 - see `_ranking`
        from esr.system.console import console  # noqa: PLC0415

        print_ranking(ranking, console())
        return
    content = _content(ranking, documents, chosen, settings)
    if out is None and chosen in CHARTS:
        sys.stdout.buffer.write(content)
    elif out is None:
        print(content.decode(), end="")
    else:
        write_bytes(content, out)
        print(f"esr: {shown_path(out)} written", file=sys.stderr)


def _content(
    ranking: "Ranking", documents: Mapping[str, "Document"], chosen: str, settings: Mapping[str, str]
) -> bytes:
    if chosen == "html":
        from esr.report.html import render  # noqa: PLC0415 - brings the drawing library
        from esr.report.html.origin import Origin  # noqa: PLC0415

        typed = shlex.join(["esr", *sys.argv[1:]])
        return render(ranking, documents, Origin(datetime.now().astimezone(), typed)).encode()
    if chosen in CHARTS:
        from esr.report import plots  # noqa: PLC0415 - see `_ranking`

        plot: plots.Plot = "ranks" if settings["chart"] == "ranks" else "runtime"
        return plots.render(ranking, plot, "pdf" if chosen == "pdf" else "svg")
    if chosen in ("csv", "json"):
        from esr.report import data  # noqa: PLC0415 - see `_ranking`

        return (data.to_csv(ranking) if chosen == "csv" else data.to_json(ranking)).encode()
    from esr.report import latex, markdown, ranking_table  # noqa: PLC0415 - see `_ranking`

    columns = [name for name in settings["columns"].split(",") if name]
    if chosen == "table":
        return ranking_table.render(ranking).encode()
    return (latex.render(ranking, columns) if chosen == "latex" else markdown.render(ranking, columns)).encode()


def _checked(options: argparse.Namespace, settings: Mapping[str, str]) -> None:
    """Refuses settings that the format does not use, and pages on a terminal.

    Raises:
        ConfigError: They do not belong together.
    """
    chosen = options.format
    if options.out is None and (chosen in CHARTS or chosen == "html") and sys.stdout.isatty():
        raise ConfigError(f"--format {chosen}: a whole file would fill the terminal; add --out report.{chosen}")
    if settings["columns"] and chosen not in ("markdown", "latex"):
        raise ConfigError(f"columns={one_line(settings['columns'])}: chooses columns of markdown and latex only")
    if settings["chart"] != PLOTS[0] and chosen not in CHARTS:
        raise ConfigError(f"chart={settings['chart']}: chooses the chart of --format pdf and svg")
