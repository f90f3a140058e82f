"""`envman container-entrypoint`, for envman's --help.

`envman.__main__` sends the command itself off before typer is imported.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from envman.launch.container_entrypoint import main as entrypoint_main


def container_entrypoint_command(
    words: Annotated[list[str] | None, typer.Argument(metavar="WORD")] = None,
) -> None:
    """Entrypoint of an image with several environments, for Airflow's Kubernetes and AWS executors."""
    raise typer.Exit(entrypoint_main(sys.argv[sys.argv.index("container-entrypoint") + 1 :]))
