"""Checks this machine or container; every problem comes with its remedy.

  esr doctor                   every check, and half a minute of the baseline against itself
  esr doctor --quick           only the checks
  esr doctor device=cpu        overrides apply to the measurement, as in an evaluation

Exit code 0 if nothing failed, though there may be warnings, 1 if something did, 2 after a usage error. Nothing is
written.
"""

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from esr.cli.parser import Parser, add_format, key_values, number, print_json
from esr.errors import ConfigError, EsrError

if TYPE_CHECKING:
    from esr.doctor.checks import Finding
    from esr.doctor.noise import Noise


MOST_SECONDS = 1e6


def add(parser: Parser) -> None:
    """Declares the command's grammar."""
    parser.keys = None
    parser.add_argument(
        "--image", action="store_true", help="only what applies to an image during its build: no GPU needed"
    )
    parser.add_argument("--quick", action="store_true", help="only the checks, no measurement")
    valid = number(float, lambda value: 0 < value <= MOST_SECONDS, "a number of seconds above 0, at most a million")
    parser.add_argument("--seconds", type=valid, default=30.0, help="duration of the measurement (30)")
    add_format(parser)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as in an evaluation: out=DIR, device=cpu")


def run(options: argparse.Namespace) -> int:
    """Prints the findings; returns the exit code."""
    try:
        given = key_values(options.overrides)
    except ConfigError as error:
        raise ConfigError(f"{error}; see esr doctor --help") from None

    from esr.doctor import checks, state  # noqa: PLC0415 - `--help` does without psutil and the cards

    as_json = options.format == "json"
    index = 0
    if options.overrides:
        from esr.config.compose import compose  # noqa: PLC0415 - takes a second

        index = compose(["model=imdn", *options.overrides]).device.index
    gathered = state.gather(given.get("out") or os.environ.get("ESR_OUT") or ".", index)
    findings = checks.examine(gathered, checks.IMAGE if options.image else checks.MACHINE)
    if not as_json:
        _print(findings)
    noise = None
    if not (options.image or options.quick or checks.worst(findings) == "fail"):
        found, noise = _noise(options.overrides, options.seconds)
        findings.append(found)
        if not as_json:
            _print([found])
    status = checks.worst(findings)
    if as_json:
        print_json({"status": status, "findings": findings} | ({"noise": noise} if noise else {}))
    return 1 if status == "fail" else 0


def _print(findings: Sequence["Finding"]) -> None:
    for found in findings:
        print(f"{found.status:5} {found.check:12} {found.message}", flush=True)
        if found.remedy:
            print(f"{'':18} -> {found.remedy}")


def _noise(overrides: Sequence[str], seconds: float) -> tuple["Finding", "Noise | None"]:
    from esr.doctor import checks, noise  # noqa: PLC0415 - see `run`
    from esr.system.console import StageBars  # noqa: PLC0415

    try:
        with StageBars() as bars:
            measured = noise.measure(overrides, seconds, bars)
    except EsrError as error:
        remedy = "no evaluation will succeed either: fix this first"
        return checks.Finding("noise", "fail", f"the baseline cannot be measured: {error}", remedy), None
    return noise.finding(measured), measured
