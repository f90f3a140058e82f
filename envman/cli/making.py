"""The commands that make something: init, lock, build, add, remove."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from envman.cli.options import (
    EnvironmentName,
    Environments,
    JobsOption,
    JsonOption,
    OfflineOption,
    ProjectOption,
    PythonOption,
    RootOption,
    WheelhouseOption,
    jobs_or_default,
    require_workspace,
    source,
)
from envman.cli.output import Reporter, size_text, versions_text
from envman.cli.progress import progress
from envman.errors import ExitCode
from envman.lock.changes import PackageChange
from envman.usecases import edit
from envman.usecases.build import BuildOptions, BuildOutcome, BuildStatus, build
from envman.usecases.init import init
from envman.usecases.lock import LockOptions, LockOutcome, lock
from envman.usecases.lock_state import LockStatus, check_locks
from envman.usecases.machine import ThisMachine
from envman.usecases.side_by_side import Outcomes
from envman.usecases.workspace import Workspace
from envman.uv.runner import Upgrade

CURRENT_AIRFLOW = "3.3.2"

UpgradeOption = Annotated[bool, typer.Option("--upgrade", "-U", help="Let every package leave its version.")]
UpgradePackageOption = Annotated[
    list[str] | None,
    typer.Option(
        "--upgrade-package", "-P", metavar="PACKAGE", help="Let this package leave its version. Repeatable."
    ),
]


def init_command(
    folder: Annotated[Path, typer.Argument(help="Where to write it.")] = Path(),
    airflow: Annotated[str, typer.Option(help="The deployment's Airflow version.")] = CURRENT_AIRFLOW,
    as_json: JsonOption = False,
) -> None:
    """Write a starter: envman.toml, two environments, two small bundles.

    Example: envman init && envman lock && envman build
    """
    reporter = Reporter("init", as_json)
    with reporter.errors():
        outcome = init(folder, airflow)
        if as_json:
            reporter.result(outcome)
            return
        for name in outcome.files:
            reporter.say(f"wrote {folder / name}")
        reporter.say("Next: envman lock, then envman build")


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
            _json_outcomes(reporter, outcomes)
        else:
            _show_changes(reporter, outcomes.results)
        _fail_if_any(reporter, outcomes)


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


def _show_changes(reporter: Reporter, outcomes: tuple[LockOutcome, ...]) -> None:
    rows = [
        (outcome.environment, *_cells(change))
        for outcome in outcomes
        if not outcome.first
        for change in outcome.changes
    ]
    if rows:  # of a first lock every package is new: the progress has said how many
        reporter.table(("environment", "package", "old", "new"), rows)


def _cells(change: PackageChange) -> tuple[str, str, str]:
    return change.package, versions_text(change.old), versions_text(change.new)


def build_command(
    environments: Environments = None,
    python: PythonOption = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Build anew what is there already, as it is damaged.")
    ] = False,
    offline: OfflineOption = False,
    wheelhouse: WheelhouseOption = None,
    jobs: JobsOption = None,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build environments from their locks alone and publish them.

    Each build is an immutable generation; the environment's name is switched to it once it is whole.

    Examples: envman build · envman build env_a --python 3.12 · envman build --wheelhouse wheels
    """
    reporter = Reporter("build", as_json)
    with reporter.errors():
        workspace = require_workspace(project, root)
        options = BuildOptions(
            source(workspace, offline, wheelhouse), jobs_or_default(jobs), ThisMachine(python), rebuild
        )
        with progress(reporter) as report:
            outcomes = build(workspace, environments or [], options, report)
        if as_json:
            _json_outcomes(reporter, outcomes)
        else:
            _show_builds(reporter, outcomes.results)
        _fail_if_any(reporter, outcomes)


def _show_builds(reporter: Reporter, outcomes: tuple[BuildOutcome, ...]) -> None:
    changed = [outcome for outcome in outcomes if outcome.status is not BuildStatus.UNCHANGED]
    if changed:
        columns = ("environment", "status", "interpreter", "packages", "size", "generation", "seconds")
        rows = [
            (
                outcome.environment,
                outcome.status.value,
                outcome.interpreter,
                str(outcome.packages),
                size_text(outcome.size),
                outcome.generation,
                f"{outcome.seconds:.1f}",
            )
            for outcome in changed
        ]
        reporter.table(columns, rows, right=("packages", "size", "seconds"))
    if len(changed) < len(outcomes):
        reporter.say(f"{len(outcomes) - len(changed)} unchanged")


def _json_outcomes(reporter: Reporter, outcomes: Outcomes[LockOutcome] | Outcomes[BuildOutcome]) -> None:
    reporter.json(
        [asdict(result) for result in outcomes.results], outcomes.problems(), ok=not outcomes.errors
    )


def _fail_if_any(reporter: Reporter, outcomes: Outcomes[LockOutcome] | Outcomes[BuildOutcome]) -> None:
    """End with the first error's exit code; the other environments are done all the same."""
    if not outcomes.errors:
        return
    if not reporter.as_json:
        reporter.problems(outcomes.problems())
    raise typer.Exit(next(iter(outcomes.errors.values())).exit_code)


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
            outcome = edit.add(workspace, environment, requirements, options, report)
        _show_edit(reporter, outcome)


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
            outcome = edit.remove(workspace, environment, packages, options, report)
        _show_edit(reporter, outcome)


def _show_edit(reporter: Reporter, outcome: edit.EditOutcome) -> None:
    if reporter.as_json:
        reporter.result(outcome)
        return
    verb = "added to" if reporter.command == "add" else "removed from"
    reporter.say(f"{', '.join(outcome.requirements)} {verb} {outcome.file}")
    _show_changes(reporter, (outcome.lock,))
