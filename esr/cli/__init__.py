"""The command `esr`: one file per subcommand."""

from esr.cli.command import main

__all__ = ["main"]
