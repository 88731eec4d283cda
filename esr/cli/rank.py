"""`esr rank`: records, or a challenge's published figures, to the challenge's table."""

import argparse
import gc
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from esr.cli.parser import Parser
from esr.errors import ConfigError
from esr.text import did_you_mean

if TYPE_CHECKING:
    from esr.ranking import Challenge, Constraints, Ranking
    from esr.ranking.collection import Ranked

FORMATS = ("table", "markdown", "csv", "latex", "json", "html")
CONSTRAINTS = ("report", "enforce")
SETTINGS = ("challenge", "constraints")

_EPILOG = """\
  esr rank outputs                                every record below a folder
  esr rank outputs multirun --format html --out report.html
  esr rank outputs challenge=ntire2024 --format latex
  esr rank --published                            the challenge's own table, recomputed

challenge=ntire2022|ntire2024|ntire2025|ntire2026|PATH.yaml says what is ranked and how. constraints=report ranks all
that pass the PSNR gate; constraints=enforce also asks for what the rules of each track ask for. A file that cannot be
used is named and left out. docs/ranking.md explains the table.
"""


def main(arguments: Sequence[str]) -> int:
    """Ranks; returns the exit code."""
    parser = Parser(
        prog="esr rank",
        description="Ranks measured networks by a challenge's rules.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "words", nargs="*", metavar="RESULTS", help="record files or folders of them, and KEY=VALUE"
    )
    parser.add_argument("--published", action="store_true", help="rank the challenge's published figures")
    parser.add_argument("--mixed", action="store_true", help="rank ratios across devices and settings")
    parser.add_argument("--format", choices=FORMATS, default="table", help="(table)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write to a file instead of the screen")
    options = parser.parse_args(list(arguments))
    # A short run that makes many objects and no cycles: looking for cycles costs a fifth of ten thousand records.
    gc.disable()
    settings, paths = _split(options.words)
    ranking, records = _ranking(settings, paths, options.published, options.mixed)
    _write(ranking, records, options.format, options.out)
    return 0


def _split(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    settings, paths = {"challenge": "ntire2022", "constraints": "report"}, []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or Path(word).exists():
            paths.append(word)
        elif key in SETTINGS:
            settings[key] = value
        else:
            raise ConfigError(f"{word}: no such setting of esr rank; {did_you_mean(key, SETTINGS)}")
    if settings["constraints"] not in CONSTRAINTS:
        raise ConfigError(
            f"constraints={settings['constraints']}: no such choice; "
            f"{did_you_mean(settings['constraints'], CONSTRAINTS)}"
        )
    return settings, paths


def _ranking(
    settings: dict[str, str], paths: Sequence[str], published: bool, mixed: bool
) -> tuple["Ranking", dict[str, Path]]:
    from esr.ranking import load_challenge, published_entries, rank_entries  # noqa: PLC0415 - `--help` is quick

    challenge = load_challenge(settings["challenge"])
    constraints: Constraints = "enforce" if settings["constraints"] == "enforce" else "report"
    if published:
        if paths:
            raise ConfigError(f"--published ranks printed figures alone; leave out {paths[0]}")
        return rank_entries(published_entries(challenge), challenge, constraints), {}
    if not paths:
        raise ConfigError(
            "nothing to rank: name record files or folders, as esr rank outputs, or --published"
        )
    ranked = _collected(paths, challenge, mixed)
    ranking = rank_entries(
        ranked.entries,
        challenge,
        constraints,
        baseline=ranked.baseline,
        conditions=ranked.conditions,
        notes=ranked.notes,
    )
    return ranking, {entry.key: Path(entry.path) for entry in ranked.entries if entry.path}


def _collected(paths: Sequence[str], challenge: "Challenge", mixed: bool) -> "Ranked":
    from esr.ranking.collection import assemble, collect  # noqa: PLC0415 - see `_ranking`
    from esr.text import shown_path  # noqa: PLC0415

    collection = collect(paths)
    for found in collection.left_out:
        print(f"esr: left out {shown_path(found.path)}: {found.reason}", file=sys.stderr)
    return assemble(collection, challenge, mixed)


def _write(ranking: "Ranking", records: dict[str, Path], chosen: str, out: Path | None) -> None:
    from esr.report.output import write_text  # noqa: PLC0415 - see `_ranking`

    if chosen == "table" and out is None:
        from esr.report.ranking_table import print_ranking  # noqa: PLC0415
        from esr.system.console import console  # noqa: PLC0415

        print_ranking(ranking, console())
        return
    text = _text(ranking, records, chosen)
    if out is None:
        print(text, end="")
        return
    write_text(text, out)
    print(f"esr: {out} written", file=sys.stderr)


def _text(ranking: "Ranking", records: dict[str, Path], chosen: str) -> str:
    if chosen == "html":
        from esr.report.html import render  # noqa: PLC0415 - brings the drawing library

        return render(ranking, records)
    from esr.report import data, latex, markdown, ranking_table  # noqa: PLC0415 - see `_ranking`

    formats = {
        "table": ranking_table.render,
        "markdown": markdown.render,
        "latex": latex.render,
        "csv": data.to_csv,
        "json": data.to_json,
    }
    return formats[chosen](ranking)
