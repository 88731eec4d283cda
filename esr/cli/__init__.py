"""The command `esr`: one grammar, one file per subcommand."""

from esr.cli.command import main

__all__ = ["main"]
