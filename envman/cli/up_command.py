"""`envman up`, for envman's --help. `envman.__main__` makes `envman launch standalone` of it."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from envman.cli.options import EnvironmentOption
from envman.launch.components import main as launch_main


def up_command(
    environment: EnvironmentOption = None,
    root: Annotated[str | None, typer.Option(help="Root folder of the environments.")] = None,
) -> None:
    """Start a whole Airflow on this machine, to try things out: the same as `envman launch standalone`."""
    raise typer.Exit(launch_main(["standalone", *sys.argv[sys.argv.index("up") + 1 :]]))
