"""The options of a subcommand, with mistakes told in one line."""

import argparse
from typing import NoReturn

from esr.errors import ConfigError

INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell reports it."""


class Parser(argparse.ArgumentParser):
    """Refuses a wrong option as every other mistake is refused."""

    def error(self, message: str) -> NoReturn:
        """Raises `ConfigError` instead of printing a page of usage."""
        raise ConfigError(f"{message}; {self.prog} --help says more")
