"""`envman which`, for envman's --help and the shell's completion, which its options are declared for.

`envman.__main__` sends the command itself off before typer is imported, and `envman.launch.author_commands`
reads its words.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from envman.cli.completion import complete_bundle
from envman.cli.options import EnvironmentOption, TeamOption
from envman.launch.author_commands import main as author_main


def which_command(
    bundle: Annotated[
        str | None, typer.Argument(metavar="BUNDLE", help="A bundle's name.", autocompletion=complete_bundle)
    ] = None,
    program: Annotated[
        str | None, typer.Argument(metavar="PROGRAM", help="A program. Default: python.")
    ] = None,
    team: TeamOption = None,
    environment: EnvironmentOption = None,
    root: Annotated[str | None, typer.Option(help="Root folder of the environments.")] = None,
) -> None:
    """Print the path of a bundle's interpreter, or of a program in its environment."""
    raise typer.Exit(author_main("which", sys.argv[sys.argv.index("which") + 1 :]) or 0)
