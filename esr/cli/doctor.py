"""`esr doctor`: says what is wrong with this machine or container, and how small a difference it can tell."""

import argparse
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from esr.cli.parser import Parser
from esr.errors import ConfigError, EsrError

if TYPE_CHECKING:
    from esr.doctor.checks import Finding

_EPILOG = """\
  esr doctor                   every check, and the baseline against itself for half a minute
  esr doctor --quick           the checks alone
  esr doctor device=cpu        overrides apply to the measurement, as in a run

Exit code 0 where nothing failed, though there may be warnings, 1 where something did, 2 for a mistake in the words
above. Nothing is written.
"""


def main(arguments: Sequence[str]) -> int:
    """Prints the findings; returns the exit code."""
    options = _options(arguments)

    from esr.doctor import checks, state  # noqa: PLC0415 - `--help` need not wait for psutil and the cards

    index = 0
    if options.overrides:
        from esr.config import compose as composition  # noqa: PLC0415 - takes a second, and a mistake should end before the checks

        index = composition.compose(["model=imdn", *options.overrides]).device.index
    gathered = state.gather(options.out, index)
    findings = checks.examine(gathered, checks.IMAGE if options.image else checks.MACHINE)
    if not options.json:
        _print(findings)
    report: dict[str, Any] = {}
    if not (options.image or options.quick or checks.worst(findings) == "fail"):
        noted, report = _noise(options.overrides, options.seconds)
        findings.append(noted)
        if not options.json:
            _print([noted])
    status = checks.worst(findings)
    if options.json:
        report = {"status": status, "findings": [found.as_dict() for found in findings], **report}
        print(json.dumps(report, indent=1))
    return 1 if status == "fail" else 0


def _print(findings: Sequence["Finding"]) -> None:
    for found in findings:
        print(f"{found.status:5} {found.check:12} {found.message}", flush=True)
        if found.remedy:
            print(f"{'':18} -> {found.remedy}")


def _noise(overrides: Sequence[str], seconds: float) -> tuple["Finding", dict[str, Any]]:
    """The finding, and what was measured, for `--json`."""
    import msgspec  # noqa: PLC0415 - see `main`

    from esr.doctor import checks, noise  # noqa: PLC0415
    from esr.system.console import StageBars  # noqa: PLC0415

    try:
        with StageBars() as bars:
            measured = noise.measure(overrides, seconds, bars)
    except EsrError as error:
        remedy = "no run will do better: see to that first"
        return checks.Finding("noise", "fail", f"the baseline cannot be measured: {error}", remedy), {}
    return noise.finding(measured), {"noise": msgspec.to_builtins(measured)}


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = Parser(
        prog="esr doctor",
        description="Says what is wrong with this machine or container, each with its remedy.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--image", action="store_true", help="only what holds of an image, for its build: no GPU needed"
    )
    parser.add_argument("--quick", action="store_true", help="the checks alone, nothing is measured")
    parser.add_argument("--seconds", type=_seconds, default=30.0, help="of the baseline against itself (30)")
    parser.add_argument("--json", action="store_true", help="the findings as JSON")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as in a run: out=DIR, device=cpu")
    options = parser.parse_args(list(arguments))
    named = [word.removeprefix("out=") for word in options.overrides if word.startswith("out=")]
    wrong = [word for word in options.overrides if "=" not in word] or [f"out={name}" for name in named[1:]]
    if wrong:
        raise ConfigError(
            f"{wrong[0]}: esr doctor takes KEY=VALUE, each once, as out=DIR; esr doctor --help says more"
        )
    options.out = named[-1] if named and named[-1] else os.environ.get("ESR_OUT") or "."
    return options


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: expected a number of seconds above 0")
    return value
