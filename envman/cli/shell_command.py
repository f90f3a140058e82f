"""`envman shell`, for envman's --help and the shell's completion, which its options are declared for.

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


def shell_command(
    bundle: Annotated[
        str | None, typer.Argument(metavar="BUNDLE", help="A bundle's name.", autocompletion=complete_bundle)
    ] = None,
    team: TeamOption = None,
    environment: EnvironmentOption = None,
    dev: Annotated[bool, typer.Option("--dev", help="In the dev overlay, with [dev] of the spec.")] = False,
    shell: Annotated[str | None, typer.Option(metavar="SHELL", help="Another shell than $SHELL.")] = None,
    root: Annotated[str | None, typer.Option(help="Root folder of the environments.")] = None,
) -> None:
    """Start a shell in a bundle's environment, whatever your own files put on PATH."""
    raise typer.Exit(author_main("shell", sys.argv[sys.argv.index("shell") + 1 :]) or 0)
