"""`envman init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from envman.cli.options import (
    JsonOption,
)
from envman.cli.output import Reporter
from envman.usecases.init import init

CURRENT_AIRFLOW = "3.3.2"


def init_command(
    folder: Annotated[Path, typer.Argument(help="Where to write it.")] = Path(),
    airflow: Annotated[str, typer.Option(help="The deployment's Airflow version.")] = CURRENT_AIRFLOW,
    as_json: JsonOption = False,
) -> None:
    """Write a starter: envman.toml, two small bundles with their environments, and Airflow's own.

    Example: envman init && envman lock && envman build && eval "$(envman airflow-config)" && envman up
    """
    reporter = Reporter("init", as_json)
    with reporter.errors():
        outcome = init(folder, airflow)
        if as_json:
            reporter.result(outcome)
            return
        for name in outcome.files:
            reporter.say(f"wrote {folder / name}")
        reporter.say('Next: envman lock, envman build, eval "$(envman airflow-config)", envman up')
