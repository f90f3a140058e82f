"""`envman sync`."""

from __future__ import annotations

from typing import Annotated

import typer

from envman.cli.completion import complete_bundle
from envman.cli.options import (
    JsonOption,
    OfflineOption,
    ProjectOption,
    RootOption,
    require_workspace,
    source,
    with_project,
)
from envman.cli.output import Reporter
from envman.cli.progress import progress
from envman.launch.bundle_here import bundle_here
from envman.launch.command import airflow_bundles
from envman.store.root import take_snapshot
from envman.usecases.sync import FileStatus, SyncOutcome, sync


def sync_command(
    bundle: Annotated[
        str | None,
        typer.Argument(
            metavar="[BUNDLE]",
            help="The bundle, by default that of this folder.",
            autocompletion=complete_bundle,
        ),
    ] = None,
    no_editors: Annotated[
        bool, typer.Option("--no-editors", help="Only the path: write no editor's settings.")
    ] = False,
    offline: OfflineOption = False,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give editors a path to a bundle's interpreter that stays the same, and settings that name it.

    The path is .envman/BUNDLE/bin/python in the project. It leads to the environment's dev overlay, built if
    need be, or to its generation where the spec has no [dev]; run it again after a build. The settings are
    VS Code's and pyright's, in the bundle's folder; PyCharm takes the path as an existing interpreter. What a
    file says already stays, with its comments; what can't be added is printed.

    Examples: envman sync · envman sync bundle_a --no-editors
    """
    reporter = Reporter("sync", as_json)
    with reporter.errors():
        workspace = require_workspace(project, root)
        name = bundle_here(with_project(project), ".") if bundle in {None, "."} else str(bundle)
        snapshot = take_snapshot(workspace.project.root, airflow_bundles)
        with progress(reporter) as report:
            outcome = sync(workspace, snapshot, name, not no_editors, source(workspace, offline), report)
        if as_json:
            reporter.result(outcome)
        else:
            _show(reporter, outcome)


def _show(reporter: Reporter, outcome: SyncOutcome) -> None:
    what = "the dev overlay" if outcome.dev else "the generation"
    reporter.say(f"{outcome.python} leads to {what} of {outcome.environment}: {outcome.target}")
    for file in outcome.files:
        if file.status is FileStatus.LEFT:
            reporter.note(f"{file.file} was left as it is: {file.why}. It should say: {file.wanted}")
        else:
            reporter.say(f"{file.file}: {file.status.value}")
    reporter.say(f"PyCharm: Settings, Python Interpreter, Add, existing: {outcome.python}")
