"""`envman diff`."""

from __future__ import annotations

from typing import Annotated

import typer

from envman.cli.completion import complete_environment
from envman.cli.options import (
    EnvironmentName,
    JsonOption,
    ProjectOption,
    RootOption,
    require_workspace,
    root_folder,
)
from envman.cli.output import Reporter
from envman.cli.package_cells import change_cells
from envman.usecases.diff import diff


def diff_command(
    left: EnvironmentName,
    right: Annotated[
        str | None,
        typer.Argument(metavar="[OTHER]", help="The other one.", autocompletion=complete_environment),
    ] = None,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the packages of two environments' locks; with one name, what runs with what is locked.

    Examples: envman diff env_a env_b · envman diff env_a
    """
    reporter = Reporter("diff", as_json)
    with reporter.errors():
        workspace = require_workspace(project)
        outcome = diff(workspace, root_folder(root, project), left, right)
        if as_json:
            reporter.result(outcome)
        elif outcome.changes:
            rows = [change_cells(change) for change in outcome.changes]
            reporter.table(("package", outcome.left, outcome.right), rows)
        else:
            reporter.say(f"{outcome.left} and {outcome.right} hold the same packages")
