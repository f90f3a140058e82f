"""`envman run`, for envman's --help and the shell's completion, which its options are declared for.

`envman.__main__` sends the command itself off before typer is imported, and `envman.launch.author_commands`
reads its words.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from envman.cli.options import BundleOption, EnvironmentOption, TeamOption
from envman.launch.author_commands import main as author_main


def run_command(
    bundle: BundleOption = None,
    team: TeamOption = None,
    environment: EnvironmentOption = None,
    dev: Annotated[bool, typer.Option("--dev", help="In the dev overlay, with [dev] of the spec.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say how the answer was found.")] = False,
    root: Annotated[str | None, typer.Option(help="Root folder of the environments.")] = None,
    command: Annotated[list[str] | None, typer.Argument(metavar="COMMAND")] = None,
) -> None:
    """Run a command in the environment of the bundle that you stand in."""
    raise typer.Exit(author_main("run", sys.argv[sys.argv.index("run") + 1 :]) or 0)
