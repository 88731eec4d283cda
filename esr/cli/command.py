"""The command `esr`: Hydra overrides run an evaluation, a first bare word is a subcommand."""

import contextlib
import importlib
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from esr.cli import conditions, signals
from esr.cli.advice import known_keys, unknown_command
from esr.cli.parser import Parser
from esr.cli.stdout import guarded
from esr.errors import ConfigError, EsrError
from esr.text import printable

COMMANDS = ("check", "compare", "config", "doctor", "export", "fetch", "rank", "repo", "rerun", "show", "train")
"""Subcommands; `esr.cli.NAME` has `add(parser)`, which declares its grammar, and `run(options)`, its exit code.

The module's docstring is its help text."""
INTACT = "completed records are intact"
_HELP = ("help", "--help", "-h")
AFTER_INTERRUPT = {"fetch": "rerun to resume", "train": "rerun to resume from the last checkpoint"}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point; exits with 0, with 1 if a network failed during its measurement, with 2 after a usage error.

    After a signal, with 128 and its number, as a shell reports it.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with guarded(), signals.raising():
            code = run(words)
    except EsrError as error:
        print(f"esr: {printable(str(error))}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt as ending:
        number = ending.number if isinstance(ending, signals.Terminated) else signal.SIGINT
        with contextlib.suppress(OSError):  # the terminal may be gone
            print(signals.line(number, AFTER_INTERRUPT.get(words[0] if words else "", INTACT)), file=sys.stderr)
        code = 128 + number
    except BrokenPipeError:
        code = 1  # the reader of the output has exited, as in `esr show | head`
    except OSError as error:
        if (known := conditions.explained(error)) is None:
            raise
        print(f"esr: {known}", file=sys.stderr)
        code = known.exit_code
    sys.exit(code)


def run(words: Sequence[str]) -> int:
    """Runs one command.

    Args:
        words: As on the command line, without `esr`.

    Returns:
        The exit code.

    Raises:
        EsrError: The input is at fault; the message is one line with the remedy.
    """
    if not words:
        raise ConfigError("nothing to do: esr model=NAME measures a network, esr show lists them, esr --help says more")
    if not all(word.strip() for word in words):
        raise ConfigError("'': a word without letters among the arguments; leave it out")
    if "--version" in words:
        from esr import __version__  # noqa: PLC0415 - reads the installed package

        print(f"esr {__version__}")
        return 0
    asked = [word for word in words if word not in _HELP]
    if not asked:
        from esr.cli.help import help_text  # noqa: PLC0415 - reads the configuration's folders

        print(help_text())
        return 0
    conditions.require()
    first = words[0]
    name, rest = first, words[1:]
    if first in _HELP and asked[0] in COMMANDS:
        name, rest = asked[0], ["--help"]
    elif first not in COMMANDS and len(asked) < len(words) and _is_key(asked[0], named=first in _HELP):
        name, rest = "config", asked
    elif first == "help":
        raise ConfigError(unknown_command(asked, COMMANDS))
    elif "=" in first or first.startswith(("-", "~")):
        name, rest = "measure", words
    elif first not in COMMANDS:
        raise ConfigError(unknown_command(words, COMMANDS))
    command = importlib.import_module(f"esr.cli.{name}")
    parser = Parser("esr", None) if name == "measure" else Parser(f"esr {name}", command.__doc__)
    command.add(parser)
    code: int = command.run(parser.parse(rest))
    return code


def _is_key(word: str, *, named: bool) -> bool:
    """True for a key, or, beside a word that can only ask for help, an override of one."""
    return (word.partition("=")[0] if named else word) in known_keys()
