"""`envman remove`."""

from __future__ import annotations

from typing import Annotated

import typer

from envman.cli.edits import AndBuild, InDev, edit_options, show_edit
from envman.cli.options import (
    EnvironmentName,
    JsonOption,
    OfflineOption,
    ProjectOption,
    RootOption,
    require_workspace,
)
from envman.cli.output import Reporter
from envman.cli.progress import progress
from envman.usecases.add_remove import remove


def remove_command(
    environment: EnvironmentName,
    packages: Annotated[list[str], typer.Argument(metavar="PACKAGE...", help="Names of packages.")],
    and_build: AndBuild = False,
    dev: InDev = False,
    offline: OfflineOption = False,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take packages out of an environment's spec, and lock it.

    Where the new set can't be locked, or with --build can't be built, spec and locks stay as they are.

    Examples: envman remove env_a polars · envman remove env_a polars --build ·
    envman remove env_a pytest --dev
    """
    reporter = Reporter("remove", as_json)
    with reporter.errors():
        workspace = require_workspace(project, root)
        options = edit_options(workspace, offline, and_build, dev)
        with progress(reporter) as report:
            outcome = remove(workspace, environment, packages, options, report)
        show_edit(reporter, outcome, "removed from", dev)
