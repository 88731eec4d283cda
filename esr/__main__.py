"""`python -m esr`: the command `esr`, where scripts are not on the path."""

from esr.cli.command import main

main()
