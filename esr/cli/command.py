"""The command `esr`: Hydra overrides run an evaluation; a first bare word is a subcommand."""

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from esr._version import __version__
from esr.cli.parser import INTERRUPTED
from esr.cli.stdout import guarded
from esr.errors import ConfigError, EsrError
from esr.text import did_you_mean

COMMANDS = ("compare", "doctor", "export", "fetch", "rank", "show", "train")
"""Subcommands; each is `esr.cli.NAME` with a function `main(arguments) -> exit code`."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a disk, a quota or a limit that is used up."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Entry point; exits with 0, with 1 when a network failed while measured, with 2 for a mistake in the input."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with guarded():
            code = _run(words)
    except EsrError as error:
        print(f"esr: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("esr: interrupted; records already written are whole", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:
        code = 1  # the reader of our output has gone, as `esr show | head` does
    sys.exit(code)


def _run(words: list[str]) -> int:
    if words == ["--version"]:
        print(f"esr {__version__}")
        return 0
    if not words:
        raise ConfigError(
            "nothing to do: esr model=NAME measures a network, esr show lists them, esr --help says more"
        )
    if words in (["--help"], ["-h"]):
        from esr.cli.help import help_text  # noqa: PLC0415

        print(help_text())
        return 0
    first = words[0]
    if "=" in first or first.startswith(("-", "~")):
        return _measure(words)
    if first not in COMMANDS:
        raise ConfigError(_unknown_command(first))
    command = importlib.import_module(f"esr.cli.{first}")
    code: int = command.main(words[1:])
    return code


def _unknown_command(word: str) -> str:
    from esr.config.cards import model_names  # noqa: PLC0415 - only a mistake pays for it

    if word in model_names() or word.endswith((".yaml", ".yml")):
        return f"{word}: no such command; to measure a network write esr model={word}"
    return f"{word}: no such command; {did_you_mean(word, COMMANDS)}; an override is written KEY=VALUE"


def _measure(words: list[str]) -> int:
    # Hydra and what it brings take a third of a second, which subcommands need not spend.
    import hydra  # noqa: PLC0415
    from hydra.errors import HydraException  # noqa: PLC0415
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415

    from esr.config import compose as composition  # noqa: PLC0415
    from esr.multirun import task as sweep  # noqa: PLC0415

    composition.register()
    sweep.register(words)
    composition.check_options(words)
    wants_traceback = "HYDRA_FULL_ERROR" in os.environ
    composition.quiet_hydra()
    sys.argv = [sys.argv[0], *words]
    task = sweep.Task()
    try:
        hydra.main(config_path="pkg://esr.conf", config_name="config", version_base="1.3")(task)()
        if task.error:
            raise task.error
    except (HydraException, OmegaConfBaseException) as error:
        if wants_traceback:
            raise
        raise composition.explain(error, words) from error
    except OSError as error:
        # Hydra makes the folder for results before it calls us; a full disk has no name.
        if wants_traceback or not (error.filename or error.errno in FULL):
            raise
        raise ConfigError(
            f"{error.filename or 'results'}: cannot be written ({error.strerror}); choose another folder with out=DIR"
        ) from error
    finally:
        code = task.close()
    return code


if __name__ == "__main__":
    main()
