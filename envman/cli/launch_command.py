"""`envman launch`, for envman's --help and the shell's completion, which its options are declared for.

`envman.__main__` sends the command itself off before typer is imported, and `envman.launch.components` reads
its words.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from envman.cli.completion import complete_bundle, complete_component
from envman.cli.options import EnvironmentOption, TeamOption
from envman.launch.components import main as launch_main


def launch_command(
    component: Annotated[
        str | None, typer.Argument(metavar="COMPONENT", autocompletion=complete_component)
    ] = None,
    bundle: Annotated[
        list[str] | None, typer.Option(help="A bundle's name.", autocompletion=complete_bundle)
    ] = None,
    team: TeamOption = None,
    environment: EnvironmentOption = None,
    python: Annotated[Path | None, typer.Option(help="An interpreter that has Airflow.")] = None,
    cold: Annotated[bool, typer.Option("--cold", help="Without fork servers.")] = False,
    health: Annotated[bool, typer.Option("--health", help="Only say whether it is at work here.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --health: as JSON.")] = False,
    root: Annotated[str | None, typer.Option(help="Root folder of the environments.")] = None,
    words: Annotated[list[str] | None, typer.Argument(metavar="ARG")] = None,
) -> None:
    """Start an Airflow component whose parses, tasks and triggers run in their bundles' interpreters."""
    raise typer.Exit(launch_main(sys.argv[sys.argv.index("launch") + 1 :]))
