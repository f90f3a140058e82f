"""`envman wheelhouse`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from envman.cli.options import (
    EnvironmentName,
    JsonOption,
    ProjectOption,
    PythonOption,
    require_workspace,
    source,
)
from envman.cli.output import Reporter
from envman.cli.progress import progress
from envman.usecases.wheelhouse import fill_wheelhouse


def wheelhouse_command(
    environment: EnvironmentName,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to fill.")],
    python: PythonOption = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download an environment's locked files into a folder, for builds without a network.

    For this platform and the environment's interpreter; every hash is checked.

    Example: envman wheelhouse env_a wheels && envman build env_a --wheelhouse wheels
    """
    reporter = Reporter("wheelhouse", as_json)
    with reporter.errors():
        workspace = require_workspace(project)
        config = source(workspace, offline=False).config
        with progress(reporter) as report:
            outcome = fill_wheelhouse(workspace, environment, folder, python, config, report)
        if as_json:
            reporter.result(outcome)
        else:
            reporter.say(
                f"{outcome.files} files for {environment}, {outcome.interpreter}, in {os.fspath(folder)}"
            )
