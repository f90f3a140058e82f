"""`envman add`."""

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
from envman.usecases.add_remove import add
from envman.usecases.lock import LockOptions
from envman.uv.runner import Upgrade


def add_command(
    environment: EnvironmentName,
    requirements: Annotated[
        list[str], typer.Argument(metavar="REQUIREMENT...", help="PEP 508, such as 'polars>=1'.")
    ],
    offline: OfflineOption = False,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add requirements to an environment's spec, comments kept, and lock it.

    Where the new set can't be locked, spec and lock stay as they are.

    Example: envman add env_a 'polars>=1'
    """
    reporter = Reporter("add", as_json)
    with reporter.errors():
        workspace = require_workspace(project)
        options = LockOptions(Upgrade(), source(workspace, offline), 1)
        with progress(reporter) as report:
            outcome = add(workspace, environment, requirements, options, report)
        show_edit(reporter, outcome, "added to")
