"""`envman doctor`."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Annotated

import typer

from envman.cli.options import (
    JsonOption,
    ProjectOption,
    RootOption,
    root_folder,
    workspace_if_any,
)
from envman.cli.output import Reporter
from envman.deployment.finding import Level
from envman.errors import ExitCode
from envman.system.processes import Processes
from envman.usecases.doctor import DoctorOutcome, DoctorRequest, doctor


def doctor_command(
    airflow: Annotated[
        str | None,
        typer.Option(
            metavar="PYTHON",
            help="The components' interpreter. Default: airflow-environment, else of airflow on PATH.",
        ),
    ] = None,
    database: Annotated[
        bool, typer.Option("--database", help="Also ask Airflow's database, by Airflow's own configuration.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Also read every file of every generation.")
    ] = False,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check the whole deployment, and say what is wrong and what to do about it.

    Bundles, teams, environments, locks, Airflow's versions, the classes of bundles, rights below the root;
    with --database also queues and triggerers. Ends with 1 where any finding is an error. Changes nothing.

    Examples: envman doctor · envman doctor --database --json · envman doctor --airflow /opt/af/bin/python
    """
    reporter = Reporter("doctor", as_json)
    with reporter.errors():
        store, workspace = root_folder(root, project), workspace_if_any(project)
        request = DoctorRequest(airflow, database, verify)
        outcome = doctor(store, workspace, request, os.environ, Processes())
        errors = outcome.errors()
        if as_json:
            reporter.json(asdict(outcome), [finding.problem() for finding in errors], ok=not errors)
        else:
            _show_findings(reporter, outcome)
        if errors:
            raise typer.Exit(ExitCode.FAILED)


def _show_findings(reporter: Reporter, outcome: DoctorOutcome) -> None:
    rows = [(item.level.value, item.where, item.what, item.remedy) for item in outcome.findings]
    if rows:
        reporter.table(("level", "where", "what", "remedy"), rows)
    errors = len(outcome.errors())
    warnings = len([item for item in outcome.findings if item.level is Level.WARNING])
    seen = f"{outcome.bundles} bundles, {outcome.environments} environments in {outcome.root}"
    reporter.say(f"{seen}: {errors} errors, {warnings} warnings")
    for what in outcome.not_asked:
        reporter.note(f"Not looked at: {what}")
