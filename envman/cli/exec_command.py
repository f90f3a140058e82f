"""`envman exec`, for envman's --help and the shell's completion, which its options are declared for.

`envman.__main__` sends the command itself off before typer is imported, and `envman.launch.command` reads its
words.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from envman.cli.options import BundleOption, EnvironmentOption, TeamOption
from envman.launch.command import main as exec_main


def exec_command(
    bundle: BundleOption = None,
    team: TeamOption = None,
    environment: EnvironmentOption = None,
    root: Annotated[str | None, typer.Option(help="Root folder of the environments.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say how the answer was found.")] = False,
    command: Annotated[list[str] | None, typer.Argument(metavar="COMMAND")] = None,
) -> None:
    """Replace this process with a command in a bundle's environment."""
    raise typer.Exit(exec_main(sys.argv[sys.argv.index("exec") + 1 :]))
