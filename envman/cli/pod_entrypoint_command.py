"""`envman pod-entrypoint`, for envman's --help.

`envman.__main__` sends the command itself off before typer is imported.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from envman.launch.pod import main as pod_main


def pod_entrypoint_command(words: Annotated[list[str] | None, typer.Argument(metavar="WORD")] = None) -> None:
    """Entrypoint of an image with several environments, for Airflow's Kubernetes pods."""
    raise typer.Exit(pod_main(sys.argv[sys.argv.index("pod-entrypoint") + 1 :]))
