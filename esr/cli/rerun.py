"""Measures again what a record holds, with other secrets and another seed, and says whether both runs agree.

  esr rerun record.json                              the same networks, images and settings
  esr rerun record.json data.root=DIR out=DIR        on another machine: the places there
  esr rerun record.json timing.max_seconds=300       for longer, if the first answer is inconclusive

Keys that may be set: out, lock, sandbox; weights, baseline_weights; data.root, data.hr, data.lr; model.source,
baseline.source, model.repository.root, baseline.repository.root; device.index, device.cpus; timing.rounds,
timing.max_seconds, timing.precision, timing.processes, timing.timeout_s.

The last defence for whoever decides about a prize: docs/cheating.md. Exit code: 0 both agree, 3 they disagree,
4 inconclusive, 1 a network failed, 2 usage error.
"""

import argparse
from pathlib import Path

from esr.cli.advice import refuse_networks
from esr.cli.compare import DIFFERENT, INCONCLUSIVE, SAME, add_margin
from esr.cli.parser import Parser, key_values
from esr.errors import ConfigError, EvaluationFailed, RecordError

_EXIT_CODES = {"agree": SAME, "disagree": DIFFERENT, "inconclusive": INCONCLUSIVE}


def add(parser: Parser) -> None:
    """Declares the command's grammar."""
    parser.add_argument("record", type=Path, metavar="RECORD", help="a record, or the folder that holds record.json")
    parser.add_argument("overrides", nargs="*", default=[], metavar="KEY=VALUE", help="places, and seconds")
    add_margin(parser, "largest change of the ratio that counts as the same")


def run(options: argparse.Namespace) -> int:
    """Measures and compares; returns the exit code."""
    from esr.evaluation.evaluate import evaluate  # noqa: PLC0415 - `esr rerun --help` measures nothing
    from esr.multirun import second_run  # noqa: PLC0415
    from esr.records.files import FILE_NAME, load_record  # noqa: PLC0415
    from esr.report.comparison import print_comparisons  # noqa: PLC0415
    from esr.report.record_table import print_record  # noqa: PLC0415
    from esr.system.console import StageBars, console  # noqa: PLC0415
    from esr.system.files import dated  # noqa: PLC0415
    from esr.text import printable, shown_path  # noqa: PLC0415

    words = key_values(options.overrides, second_run.CHANGEABLE)
    refuse_networks([str(options.record)], "esr model={first} measures it")
    if options.record.is_dir() and not (options.record / FILE_NAME).exists():
        raise RecordError(f"{shown_path(options.record)}: holds no {FILE_NAME}; name one record, as outputs/DAY/TIME")
    first = load_record(options.record)
    if first.failed:
        raise ConfigError(f"{options.record}: a network failed in it; measure it with esr model=…")
    settings = second_run.settings_of(first, words)
    second_run.require_unchanged(first, settings)
    with StageBars() as bars:
        second = evaluate(settings, dated(settings.out, "reruns"), bars)
    screen = console()
    print_record(second, screen)
    if second.failed:
        raise EvaluationFailed(f"{' and '.join(second.failed)} failed in the second run; the record did not")
    found = second_run.judge(first, second, options.margin)
    print_comparisons([found.comparison], screen)
    for reason in found.reasons:
        screen.print(f"· {printable(reason)}", markup=False, highlight=False)
    screen.print(f"the record and the second run: {found.outcome}", markup=False, highlight=False)
    return _EXIT_CODES[found.outcome]
