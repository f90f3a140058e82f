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
from envman.errors import ExitCode, Problem, UsageError
from envman.lock.dev_lock import dev_lock_states
from envman.lock.lock_state import LockState, LockStatus, check_locks
from envman.usecases.lock import LockOptions, check_by_resolving, lock
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
        bool,
        typer.Option(
            "--check",
            help="Only say whether locks answer their specs, and the policy if there is one; no network.",
        ),
    ] = False,
    resolve: Annotated[
        bool,
        typer.Option(
            "--resolve", help="With --check: also whether each lock is what resolving gives; network."
        ),
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

    Examples: envman lock · envman lock env_a -P pandas · envman lock -U · envman lock --check --resolve
    """
    reporter = Reporter("lock", as_json)
    with reporter.errors():
        workspace = require_workspace(project)
        names = environments or []
        if resolve and not check:
            raise UsageError(Problem("--resolve", "goes with --check alone", "Pass --check, too."))
        if check and (upgrade or upgrade_package):
            raise UsageError(Problem("--check", "changes no version", "Leave --upgrade and -P out."))
        if check and not resolve:
            _show_states(reporter, (*check_locks(workspace, names), *dev_lock_states(workspace, names)))
            return
        options = LockOptions(
            Upgrade(upgrade, tuple(upgrade_package or ())), source(workspace, offline), jobs_or_default(jobs)
        )
        if check:
            with progress(reporter) as report:
                checked = check_by_resolving(workspace, names, options, report)
            checked.raise_errors()
            _show_states(reporter, (*checked.results, *dev_lock_states(workspace, names)))
            return
        with progress(reporter) as report:
            outcomes = lock(workspace, names, options, report)
        if as_json:
            outcomes_as_json(reporter, outcomes)
        else:
            show_changes(reporter, outcomes.results)
            show_source_only(reporter, outcomes.results)
        fail_if_any(reporter, outcomes)


def _show_states(reporter: Reporter, states: tuple[LockState, ...]) -> None:
    problems = list(dict.fromkeys(state.problem for state in states if state.problem))
    if reporter.as_json:
        listed = [{"environment": s.environment, "file": s.file, "status": s.status.value} for s in states]
        reporter.json(listed, problems, ok=not problems)
    else:
        reporter.problems(problems)
        fresh = sum(state.status is LockStatus.FRESH for state in states)
        reporter.say(f"{fresh} of {len(states)} locks answer their specs")
    failed = next((state.status for state in states if state.problem), None)
    if failed:
        raise typer.Exit(ExitCode.POLICY if failed is LockStatus.UNSIGNED else ExitCode.LOCK)
