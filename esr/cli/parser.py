"""The grammar that all subcommands share: options, words of the form KEY=VALUE, and mistakes in one line."""

import argparse
from collections.abc import Callable, Collection, Iterable, Sequence
from difflib import get_close_matches
from typing import NoReturn, TypeVar

from esr.cli import advice
from esr.errors import ConfigError
from esr.text import did_you_mean, indented

Value = TypeVar("Value", int, float)


_Formatter = argparse.RawDescriptionHelpFormatter


class Parser(argparse.ArgumentParser):
    """Options may stand anywhere among the words; every mistake is a `ConfigError` that names the nearest option."""

    def __init__(self, prog: str, text: str | None) -> None:
        """Builds a parser without options.

        Args:
            prog: The command, as `esr rank`.
            text: Its help: a line, an empty line, and examples; `None`: no option `--help` of its own.
        """
        self.formats: Collection[str] = ()
        """Choices of `--format`."""
        self.keys: Collection[str] | None = ()
        """Keys that people type as options; `None`: those of a measurement."""
        description, _, epilog = (text or "").partition("\n\n")
        super().__init__(prog, None, description, epilog, add_help=text is not None, formatter_class=_Formatter)

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The options in `words`.

        Raises:
            ConfigError: An option or its value is unknown, or a word is missing or superfluous.
        """
        for word, following in zip(words, [*words, "-"][1:], strict=True):
            name, _, value = word.partition("=")
            if name.startswith("-") and not any(known.startswith(name) for known in self._option_string_actions):
                value = value or ("" if "=" in following or following.startswith("-") else following)
                if meant := advice.option(name, value, self.keys):
                    self.error(f"{name}: no such option; {meant}")
        options, unknown = self.parse_known_intermixed_args(list(words))
        for word in unknown:
            name = word.partition("=")[0]
            if not name.startswith("-"):
                self.error(f"{word}: unexpected")
            self.error("; ".join(filter(None, (f"{name}: no such option", self._near(name)))))
        return options

    def _near(self, name: str) -> str:
        """Options that were probably meant; of a letter those that begin with it."""
        if name[2:] in self.formats and name.startswith("--"):
            return f"write --format {name[2:]}"
        known = [option for option in self._option_string_actions if option.startswith("--")]
        if not name.startswith("--"):
            near = " or ".join(option for option in known if option[2:3] == name[1:2])
            return f"did you mean {near}?" if near else ""
        return "".join(f"did you mean {option}?" for option in get_close_matches(name, known, 1, cutoff=0.75))

    def error(self, message: str) -> NoReturn:
        """Raises `ConfigError`; argparse would print the usage."""
        raise ConfigError(f"{message}; {self.prog} --help says more")


def number(convert: Callable[[str], Value], valid: Callable[[Value], bool], expected: str) -> Callable[[str], Value]:
    """An option's type: a number in a range, which `expected` describes."""

    def parsed(text: str) -> Value:
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not valid(value):
            raise argparse.ArgumentTypeError(f"{text}: expected {expected}")
        return value

    return parsed


def one_of(names: Collection[str]) -> Callable[[str], str]:
    """An option's type: one of some names."""

    def parsed(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(f"{text}: no such choice; {did_you_mean(text, names)}")
        return text

    return parsed


def key_values(words: Iterable[str], keys: Collection[str] | None = None) -> dict[str, str]:
    """Words of the form KEY=VALUE as a mapping.

    Args:
        words: As on the command line.
        keys: Valid keys; `None`: Hydra checks them.

    Raises:
        ConfigError: A word is not KEY=VALUE, a value is empty, or a key is unknown or given twice.

    >>> key_values(["model=rlfn", "format=onnx"], ["model", "format"])
    {'model': 'rlfn', 'format': 'onnx'}
    """
    given: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ConfigError(f"{word}: expected KEY=VALUE")
        if keys is not None and key not in keys:
            raise ConfigError(f"{word}: no such key {key}; {did_you_mean(key, keys)}")
        if not value:
            raise ConfigError(f"{word}: no value given")
        if key in given:
            raise ConfigError(f"{word}: {key} is given twice")
        given[key] = value
    return given


def add_format(parser: Parser, *others: str) -> None:
    """Declares `--format`, by which every command prints for machines: `table`, other formats, and `json`."""
    parser.formats = formats = ("table", *others, "json")
    parser.add_argument("--format", type=one_of(formats), default="table", metavar="|".join(formats), help="(table)")


def print_json(value: object) -> None:
    """Prints a value of plain or msgspec types as indented JSON."""
    print(indented(value))
