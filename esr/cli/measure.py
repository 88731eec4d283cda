"""`esr KEY=VALUE…`: an evaluation or, with `-m`, several; overrides and options are Hydra's."""

import argparse
import errno
import logging
import os
import sys
from collections.abc import Sequence

from esr.cli import advice
from esr.cli.conditions import explained
from esr.cli.parser import Parser, add_format, one_of
from esr.errors import ConfigError

_MODES = ("run", "multirun", "cfg", "info", "shell_completion")
"""Hydra's options that exclude each other, which it would report by a traceback."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a disk, a quota or a limit that is used up."""
_FLAGS = ["--help -h", "--hydra-help", "--version", "--resolve", "--run -r", "--multirun -m", "--shell-completion -sc"]
_VALUES = ["--package -p", "--config-dir -cd"]
"""Hydra's options without and with a value, apart from those that take one of a few, or read YAMLs without a limit."""
_OURS = ("overrides", "verbose", "format")
"""Words and options that Hydra is not given as options."""
_REFUSED = {
    "hydra.job.chdir=": "paths are relative to the folder where esr starts; out=DIR receives the results",
    "hydra.searchpath=": advice.OWN_FILES,
}
"""Overrides of Hydra's that esr does not take; by the last one, Hydra would read YAMLs without a limit."""
_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


def add(parser: Parser) -> None:
    """Declares Hydra's options, so that an unknown one is refused in one line instead of a page of usage."""
    parser.add_argument("overrides", nargs="*")
    for names in _FLAGS:
        parser.add_argument(*names.split(), action="store_true")
    for names in _VALUES:
        parser.add_argument(*names.split())
    parser.add_argument("--cfg", "-c", type=one_of(("job", "hydra", "all")))
    parser.add_argument("--verbose", "-v", action="store_true")
    add_format(parser)
    parser.keys = None
    parser.add_argument("--info", "-i", type=one_of(_INFO), nargs="?", const="all")


def run(options: argparse.Namespace) -> int:
    """Lets Hydra compose the configuration and run the evaluations."""
    modes = [f"--{mode.replace('_', '-')}" for mode in _MODES if getattr(options, mode)]
    if len(modes) > 1:
        raise ConfigError(f"{' '.join(modes)}: only one of them at a time; esr --help says more")
    if options.resolve and not (options.cfg or options.help):
        raise ConfigError("--resolve: belongs to --cfg job, which prints the configuration")

    advice.refuse_bare_words([], options.overrides)
    _refuse(options.overrides)
    # Hydra and its dependencies take a third of a second to import, which subcommands do without.
    import hydra  # noqa: PLC0415
    from hydra.errors import HydraException  # noqa: PLC0415
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415

    from esr.config import yaml_files  # noqa: PLC0415
    from esr.config.mistakes import explain, refuse_lists  # noqa: PLC0415
    from esr.config.repository_words import expand  # noqa: PLC0415
    from esr.multirun import task as multirun  # noqa: PLC0415

    if options.config_dir:
        yaml_files.check_folder(options.config_dir)
    refuse_lists(options.overrides)
    options.overrides = expand(options.overrides, several=options.multirun)
    multirun.register()
    wants_traceback = "HYDRA_FULL_ERROR" in os.environ
    # Hydra's errors reach the handler below instead of being printed with Hydra's advice.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # Hydra prints through logging, which prints a traceback per line once the reader has exited, as in `| head`.
    logging.raiseExceptions = False
    sys.argv = [sys.argv[0], *_hydra_words(options)]
    task = multirun.Task(verbose=options.verbose, as_json=options.format == "json")
    try:
        hydra.main(config_path="pkg://esr.conf", config_name="config", version_base="1.3")(task)()
        if task.error:
            raise task.error
    except (HydraException, OmegaConfBaseException) as error:
        if wants_traceback:
            raise
        raise explain(error, options.overrides) from error
    except OSError as error:
        # Hydra creates the folder for results; the error of a full disk names no file.
        if wants_traceback or explained(error) or not (error.filename or error.errno in _FULL):
            raise
        raise ConfigError(
            f"{error.filename or 'results'}: cannot be written ({error.strerror}); choose another folder with out=DIR"
        ) from error
    finally:
        if not wants_traceback:
            os.environ.pop("HYDRA_FULL_ERROR", None)  # or another command in this process would have it
        code = task.close()
    return code


def _refuse(overrides: Sequence[str]) -> None:
    """Refuses what Hydra would take, and esr does not."""
    for word in overrides:
        key, _, value = word.partition("=")
        if {f"--{key}", f"-{key}"} & {*advice.OPTIONS, *advice.REFUSED} and key not in advice.known_keys():
            raise ConfigError(f"{word}: no such key; {advice.option(f'--{key}', value, None)}")
        if word.startswith("out=") and not word.removeprefix("out=").strip(" \t'\""):  # Hydra would make the folder
            raise ConfigError(f"{word}: no folder given; out=. is the current one")
        if why := next((why for key, why in _REFUSED.items() if word.lstrip("+").startswith(key)), None):
            raise ConfigError(f"{word}: {why}")


def _hydra_words(options: argparse.Namespace) -> list[str]:
    """The command line with the overrides first, since Hydra takes none after an option."""
    words = list(options.overrides)
    for name, value in vars(options).items():
        if name not in _OURS and value:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words
