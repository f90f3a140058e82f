"""`envman add`."""

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
from envman.usecases.add_remove import add


def add_command(
    environment: EnvironmentName,
    requirements: Annotated[
        list[str], typer.Argument(metavar="REQUIREMENT...", help="PEP 508, such as 'polars>=1'.")
    ],
    and_build: AndBuild = False,
    dev: InDev = False,
    offline: OfflineOption = False,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add requirements to an environment's spec, comments kept, and lock it.

    Where the new set can't be locked, or with --build can't be built, spec and locks stay as they are.

    Examples: envman add env_a 'polars>=1' · envman add env_a 'polars>=1' --build ·
    envman add env_a pytest --dev
    """
    reporter = Reporter("add", as_json)
    with reporter.errors():
        workspace = require_workspace(project, root)
        options = edit_options(workspace, offline, and_build, dev)
        with progress(reporter) as report:
            outcome = add(workspace, environment, requirements, options, report)
        show_edit(reporter, outcome, "added to", dev)
