"""The commands for the deployment as a whole: publish, airflow-config, check, doctor."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from envman.cli.options import (
    JsonOption,
    ProjectOption,
    RootOption,
    complete_environment,
    require_workspace,
    root_folder,
    workspace_if_any,
)
from envman.cli.output import Reporter
from envman.deployment.findings import Level
from envman.deployment.render import ConfigFormat, render, variables
from envman.deployment.settings import Settings, Wanted
from envman.errors import ExitCode
from envman.processes import Processes, stop_signals
from envman.usecases.airflow_settings import airflow_settings
from envman.usecases.check import CheckOutcome, CheckRequest, ParsedFile, check
from envman.usecases.doctor import DoctorOutcome, DoctorRequest, doctor
from envman.usecases.publish import publish


def publish_command(
    project: ProjectOption = None, root: RootOption = None, as_json: JsonOption = False
) -> None:
    """Publish what envman.toml says about bundles and teams, without building anything.

    For a host on which no environment is built, such as a scheduler whose pods have an image for each, and
    for bundles that come, go or move between teams. `envman build` publishes, too.

    Examples: envman publish · envman publish --root /srv/envman
    """
    reporter = Reporter("publish", as_json)
    with reporter.errors():
        outcome = publish(require_workspace(project, root))
        if as_json:
            reporter.result(outcome)
            return
        did = "published" if outcome.changed else "unchanged"
        counts = f"{outcome.bundles} bundles, {outcome.teams} teams, {outcome.environments} environments"
        reporter.say(f"{outcome.table}: {did}, {counts}")
        if outcome.not_built:
            reporter.note(f"Not built in {outcome.root}: {', '.join(outcome.not_built)}")


def airflow_config_command(
    to: Annotated[
        ConfigFormat,
        typer.Option("--format", help="Variables for a shell, sections of airflow.cfg, or .env."),
    ] = ConfigFormat.ENV,
    multi_team: Annotated[
        bool, typer.Option("--multi-team", help="Turn Airflow's teams on; kept where they are on already.")
    ] = False,
    executor: Annotated[
        list[str] | None,
        typer.Option(metavar="[TEAM=]EXECUTOR", help="An executor, of all or of one team. Repeatable."),
    ] = None,
    kubernetes: Annotated[
        bool, typer.Option("--kubernetes", help="Add what the Kubernetes executor's pods need.")
    ] = False,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what Airflow's configuration needs for the bundles and teams of envman.toml.

    It starts from the list of bundles that Airflow has now, and adds teams. It prints no other value of
    Airflow's configuration, and no secret. Ends with 1 where envman.toml and Airflow do not fit together.

    Examples: eval "$(envman airflow-config)" · envman airflow-config --format cfg ·
    envman airflow-config --multi-team --executor LocalExecutor --executor team_b=CeleryExecutor
    """
    reporter = Reporter("airflow-config", as_json)
    with reporter.errors():
        folder, workspace = root_folder(root, project), workspace_if_any(project)
        wanted = Wanted(multi_team, tuple(executor or ()), kubernetes)
        found = airflow_settings(folder, workspace, wanted, os.environ)
        if as_json:
            reporter.json(_settings_row(found), found.problems, ok=not found.problems)
        else:
            sys.stdout.write(render(found, to))
            reporter.problems(found.problems)
        if found.problems:
            raise typer.Exit(ExitCode.FAILED)


def _settings_row(found: Settings) -> dict[str, object]:
    options = [
        {"section": item.section, "option": item.option, "team": item.team, "value": item.value}
        for item in found.options
    ]
    return {"variables": variables(found), "options": options, "notes": list(found.notes)}


def check_command(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The bundle's folder, or one file of it.")],
    bundle: Annotated[str, typer.Option(metavar="BUNDLE", help="The bundle's name.")],
    environment: Annotated[
        str | None,
        typer.Option(
            metavar="ENVIRONMENT",
            help="Parse in this environment instead of the bundle's.",
            autocompletion=complete_environment,
        ),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.1, metavar="SECONDS", help="Seconds for each file. Default: Airflow's own limits."
        ),
    ] = None,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Parse a bundle's Dags in its environment, exactly as Airflow's Dag processor would.

    For a team's own CI: it needs no Airflow deployment, database or configuration. What the files print goes
    to standard error. Ends with 1 where a file can't be parsed, or there is no Dag at all.

    Connections and Variables that a file reads as it is parsed come from AIRFLOW_CONN_* and AIRFLOW_VAR_*.

    Examples: envman check --bundle bundle_a dags · envman check --bundle bundle_a dags/daily.py --json
    """
    reporter = Reporter("check", as_json)
    processes = Processes()
    with reporter.errors(), stop_signals(processes):
        request = CheckRequest(bundle, path, environment, timeout)
        outcome = check(root_folder(root, project), request, processes, os.environ, _pass_on)
        problems = outcome.problems()
        if as_json:
            reporter.json(asdict(outcome), problems, ok=not problems)
        else:
            _show_check(reporter, outcome)
            reporter.problems(problems)
        if problems:
            raise typer.Exit(ExitCode.FAILED)


def _pass_on(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _show_check(reporter: Reporter, outcome: CheckOutcome) -> None:
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


def _state(file: ParsedFile) -> str:
    if file.errors:
        return "import error"
    return "warning" if file.warnings else "ok"


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
    processes = Processes()
    with reporter.errors(), stop_signals(processes):
        folder, workspace = root_folder(root, project), workspace_if_any(project)
        request = DoctorRequest(airflow, database, verify)
        outcome = doctor(folder, workspace, request, os.environ, processes)
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
