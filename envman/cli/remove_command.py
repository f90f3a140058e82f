"""`envman remove`."""

from __future__ import annotations

from typing import Annotated

import typer

from envman.cli.options import (
    EnvironmentName,
    JsonOption,
    OfflineOption,
    ProjectOption,
    require_workspace,
    source,
)
from envman.cli.output import Reporter
from envman.cli.package_cells import show_edit
from envman.cli.progress import progress
from envman.usecases.add_remove import remove
from envman.usecases.lock import LockOptions
from envman.uv.runner import Upgrade


def remove_command(
    environment: EnvironmentName,
    packages: Annotated[list[str], typer.Argument(metavar="PACKAGE...", help="Names of packages.")],
    offline: OfflineOption = False,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take packages out of an environment's spec, and lock it.

    Example: envman remove env_a polars
    """
    reporter = Reporter("remove", as_json)
    with reporter.errors():
        workspace = require_workspace(project)
        options = LockOptions(Upgrade(), source(workspace, offline), 1)
        with progress(reporter) as report:
            outcome = remove(workspace, environment, packages, options, report)
        show_edit(reporter, outcome, "removed from")
