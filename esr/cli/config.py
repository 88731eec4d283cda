"""Explains configuration keys: meaning, unit, default and valid values.

  esr config                    every key
  esr config timing             a group: its options and its keys
  esr config timing.precision   one key
  esr config --train            the keys of esr train

A key is set by KEY=VALUE. esr model=NAME --cfg job prints the composed values of one command.
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from esr.cli import advice
from esr.cli.parser import Parser, add_format, print_json
from esr.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from esr.config.explain import Key, Option

_INDENT = 6 * " "


def add(parser: Parser) -> None:
    """Declares the command's grammar."""
    parser.add_argument("key", nargs="*", metavar="KEY", help="a key or a group; without it all")
    parser.add_argument("--train", action="store_true", help="of the configuration of esr train")
    add_format(parser)


def run(options: argparse.Namespace) -> int:
    """Prints the explanations; returns the exit code."""
    from esr.system.console import console  # noqa: PLC0415

    word = ".".join(options.key).partition("=")[0]
    found, choices = (_of_training(word), []) if options.train else _of_measurement(word)
    if options.format == "json":
        print_json({"keys": found, "options": choices})
        return 0
    screen = console()
    if len(found) == 1 and found[0].name == word:
        _print_one(screen, found[0])
    else:
        _print_many(screen, found, choices, word)
    return 0


def _of_measurement(word: str) -> tuple[list["Key"], list["Option"]]:
    from esr.config.explain import explained  # noqa: PLC0415 - `--help` does without OmegaConf

    group, _, name = advice.choices().get(word.lower().rpartition(".")[2], "").partition("=")
    if name and f"{group}.{name}".endswith(word.lower()):
        raise ConfigError(f"{word}: no such key; that is {group}={name}; esr config {group} explains it")
    return explained(word)


def _of_training(word: str) -> list["Key"]:
    import yaml  # noqa: PLC0415 - see `run`

    import esr.conf  # noqa: PLC0415
    from esr.config.explain import keys  # noqa: PLC0415
    from esr.config.mistakes import nearest_key  # noqa: PLC0415
    from esr.training.config import TrainConf  # noqa: PLC0415

    recipe = yaml.safe_load((Path(esr.conf.__file__).parent / "train" / "default.yaml").read_text(encoding="utf-8"))
    every = keys(TrainConf, recipe)
    found = [key for key in every if not word or key.name == word or key.name.startswith(f"{word}.")]
    if not found:
        raise ConfigError(nearest_key(word, [key.name for key in every]))
    return found


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _print_one(screen: "Console", key: "Key") -> None:
    screen.print(f"{key.name} ({key.kind}, default {_value(key.default)})")
    screen.print(key.meaning)
    if key.allowed:
        screen.print(f"allowed: {key.allowed}")


def _print_many(screen: "Console", found: list["Key"], choices: list["Option"], group: str) -> None:
    if choices:
        screen.print(f"{group}=OPTION")
        for option in choices:
            screen.print(f"  {option.name}")
            screen.print(f"{_INDENT}{option.meaning}")
        screen.print()
    for key in found:
        screen.print(f"{key.name}={_value(key.default)}", style="bold")
        screen.print(f"{_INDENT}{key.meaning}{f' Allowed: {key.allowed}.' if key.allowed else ''}")
