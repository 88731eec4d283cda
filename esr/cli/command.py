"""The command `esr`: Hydra overrides run an evaluation, a first bare word is a subcommand."""

import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from esr import __version__
from esr.cli.parser import Parser
from esr.cli.stdout import guarded
from esr.errors import ConfigError, EsrError
from esr.text import did_you_mean, printable

COMMANDS = ("check", "compare", "doctor", "export", "fetch", "rank", "repo", "rerun", "show", "train")
"""Subcommands; `esr.cli.NAME` has `add(parser)`, which declares its grammar, and `run(options)`, its exit code.

The module's docstring is its help text."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell reports it."""
_AFTER_INTERRUPT = {"fetch": "rerun to resume", "train": "rerun to resume from the last checkpoint"}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point; exits with 0, with 1 if a network failed during its measurement, with 2 after a usage error."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with guarded():
            code = run(words)
    except EsrError as error:
        print(f"esr: {printable(str(error))}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        hint = _AFTER_INTERRUPT.get(words[0] if words else "", "completed records are intact")
        print(f"esr: interrupted; {hint}", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:
        code = 1  # the reader of the output has exited, as in `esr show | head`
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
    if list(words) == ["--version"]:
        print(f"esr {__version__}")
        return 0
    if list(words) in (["--help"], ["-h"]):
        from esr.cli.help import help_text  # noqa: PLC0415 - reads the configuration's folders

        print(help_text())
        return 0
    first = words[0]
    if first in COMMANDS:
        name, rest = first, words[1:]
    elif "=" in first or first.startswith(("-", "~")):
        name, rest = "measure", words
    else:
        raise ConfigError(_unknown_command(first))
    command = importlib.import_module(f"esr.cli.{name}")
    parser = Parser("esr", None) if name == "measure" else Parser(f"esr {name}", command.__doc__)
    command.add(parser)
    code: int = command.run(parser.parse(rest))
    return code


def _unknown_command(word: str) -> str:
    from esr.config.cards import model_names  # noqa: PLC0415 - only after a mistake

    if word in model_names() or word.endswith((".yaml", ".yml")):
        return f"{word}: no such command; to measure a network write esr model={word}"
    return f"{word}: no such command; {did_you_mean(word, COMMANDS)}; an override is written KEY=VALUE"


if __name__ == "__main__":
    main()
