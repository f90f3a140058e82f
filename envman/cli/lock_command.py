"""`envman lock`."""

from __future__ import annotations

from typing import Annotated

import typer

from envman.cli.options import (
    Environments,
    JobsOption,
    JsonOption,
    OfflineOption,
    ProjectOption,
    jobs_or_default,
    require_workspace,
    source,
)
from envman.cli.output import Reporter
from envman.cli.package_cells import show_changes, show_source_only
from envman.cli.progress import progress
from envman.cli.several_outcomes import fail_if_any, outcomes_as_json
from envman.errors import ExitCode
from envman.lock.lock_state import LockStatus, check_locks
from envman.spec.workspace import Workspace
from envman.usecases.lock import LockOptions, lock
from envman.uv.runner import Upgrade

UpgradeOption = Annotated[bool, typer.Option("--upgrade", "-U", help="Let every package leave its version.")]


UpgradePackageOption = Annotated[
    list[str] | None,
    typer.Option(
        "--upgrade-package", "-P", metavar="PACKAGE", help="Let this package leave its version. Repeatable."
    ),
]


def lock_command(
    environments: Environments = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether every lock answers its spec; no network.")
    ] = False,
    upgrade: UpgradeOption = False,
    upgrade_package: UpgradePackageOption = None,
    offline: OfflineOption = False,
    jobs: JobsOption = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Resolve environments into hashed locks, side by side.

    Versions that are there are kept, unless upgraded. A lock that answers its spec is left alone.

    Examples: envman lock · envman lock env_a -P pandas · envman lock --upgrade · envman lock --check
    """
    reporter = Reporter("lock", as_json)
    with reporter.errors():
        workspace = require_workspace(project)
        names = environments or []
        if check:
            _check(reporter, workspace, names)
            return
        options = LockOptions(
            Upgrade(upgrade, tuple(upgrade_package or ())), source(workspace, offline), jobs_or_default(jobs)
        )
        with progress(reporter) as report:
            outcomes = lock(workspace, names, options, report)
        if as_json:
            outcomes_as_json(reporter, outcomes)
        else:
            show_changes(reporter, outcomes.results)
            show_source_only(reporter, outcomes.results)
        fail_if_any(reporter, outcomes)


def _check(reporter: Reporter, workspace: Workspace, names: list[str]) -> None:
    states = check_locks(workspace, names)
    problems = [state.problem for state in states if state.problem]
    if reporter.as_json:
        listed = [{"environment": s.environment, "file": s.file, "status": s.status.value} for s in states]
        reporter.json(listed, problems, ok=not problems)
    else:
        reporter.problems(problems)
        fresh = sum(state.status is LockStatus.FRESH for state in states)
        reporter.say(f"{fresh} of {len(states)} locks answer their specs")
    if problems:
        raise typer.Exit(ExitCode.LOCK)
