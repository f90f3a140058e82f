"""`envman check`."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from envman.cli.completion import complete_bundle, complete_environment
from envman.cli.options import (
    JsonOption,
    ProjectOption,
    RootOption,
    TimeoutOption,
    root_folder,
    workspace_if_any,
)
from envman.cli.output import Reporter, pass_on
from envman.errors import ExitCode, Problem, UsageError
from envman.system.processes import Processes
from envman.usecases.check import CheckOutcome, CheckRequest, ParsedFile, check


def check_command(
    bundle: Annotated[
        str, typer.Option(metavar="BUNDLE", help="The bundle's name.", autocompletion=complete_bundle)
    ],
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PATH]", help="The bundle's folder, or one file of it. Default: its path in envman.toml."
        ),
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option(
            metavar="ENVIRONMENT",
            help="Parse in this environment instead of the bundle's.",
            autocompletion=complete_environment,
        ),
    ] = None,
    timeout: TimeoutOption = None,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Parse a bundle's Dags in its environment, exactly as Airflow's Dag processor would.

    For a team's own CI: it needs no Airflow deployment, database or configuration. What the files print goes
    to standard error. Ends with 1 where a file can't be parsed, or there is no Dag at all.

    Connections and Variables that a file reads as it is parsed come from AIRFLOW_CONN_* and AIRFLOW_VAR_*.

    Examples: envman check --bundle bundle_a · envman check --bundle bundle_a dags/daily.py --json
    """
    reporter = Reporter("check", as_json)
    with reporter.errors():
        request = CheckRequest(bundle, path or _folder_of(bundle, project), environment, timeout)
        outcome = check(root_folder(root, project), request, Processes(), os.environ, pass_on)
        problems = outcome.problems()
        if as_json:
            reporter.json(asdict(outcome), problems, ok=not problems)
        else:
            show_check(reporter, outcome)
            reporter.problems(problems)
        if problems:
            raise typer.Exit(ExitCode.FAILED)


def _folder_of(bundle: str, project: Path | None) -> Path:
    """Where envman.toml says that a bundle's Dags are; raises UsageError, SpecError."""
    workspace = workspace_if_any(project)
    declared = workspace.project.bundles.get(bundle) if workspace else None
    if workspace is None or declared is None or declared.path is None:
        what = f"is missing, and envman.toml has no path for the bundle '{bundle}'"
        remedy = f'Name the folder, or state it: [bundles] {bundle} = {{ path = "..." }}'
        raise UsageError(Problem("PATH", what, remedy))
    return workspace.files.directory / declared.path


def show_check(reporter: Reporter, outcome: CheckOutcome) -> None:
    """Show the files with their Dags, and what is worth a warning."""
    rows = [
        (
            file.file,
            ", ".join(dag.dag for dag in file.dags) or "-",
            str(sum(dag.tasks for dag in file.dags)),
            f"{file.seconds:.2f}",
            _state(file),
        )
        for file in outcome.files
    ]
    if rows:
        reporter.table(("file", "dags", "tasks", "seconds", ""), rows, right=("tasks", "seconds"))
    dags = sum(len(file.dags) for file in outcome.files)
    where = f"{outcome.environment}, {outcome.interpreter}, Airflow {outcome.airflow}"
    reporter.say(f"{len(outcome.files)} files, {dags} Dags, in {where}")
    for file in outcome.files:
        for warning in file.warnings:
            reporter.note(f"warning: {file.file}: {warning.strip().splitlines()[0]}")
    for plugin in outcome.plugins:
        where = f"environment '{outcome.environment}'"
        reporter.note(f"warning: {where}: the plugin {plugin.file} can't be imported: {plugin.text}")
    if outcome.unread and dags:
        reporter.note(
            f"warning: whether Airflow's components can read the Dags was not looked at: {outcome.unread}"
        )
    for one in outcome.variables:
        reporter.note(
            f"warning: {one.file} names the variable {one.variable}, which is set here, and which workloads "
            f"do not get; to hand it on: [variables] pass in environments/{outcome.environment}.toml"
        )


def _state(file: ParsedFile) -> str:
    if file.errors:
        return "import error"
    return "warning" if file.warnings else "ok"
