"""`envman airflow-config`."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from envman.cli.options import (
    JsonOption,
    ProjectOption,
    RootOption,
    root_folder,
    workspace_if_any,
)
from envman.cli.output import Reporter, write
from envman.deployment.render import ConfigFormat, render, variables
from envman.deployment.settings import AirflowSettings, WantedSettings
from envman.errors import ExitCode
from envman.usecases.airflow_config import airflow_settings


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

    It starts from the list of bundles that Airflow has now, adds those whose path or class stands in
    envman.toml, and teams. It prints no other value of Airflow's configuration, and no secret. Ends with 1
    where envman.toml and Airflow do not fit together.

    Examples: eval "$(envman airflow-config)" · envman airflow-config --format cfg ·
    envman airflow-config --multi-team --executor LocalExecutor --executor team_b=CeleryExecutor
    """
    reporter = Reporter("airflow-config", as_json)
    with reporter.errors():
        store, workspace = root_folder(root, project), workspace_if_any(project)
        wanted = WantedSettings(multi_team, tuple(executor or ()), kubernetes)
        found = airflow_settings(store, workspace, wanted, os.environ)
        if as_json:
            reporter.json(_settings_row(found), found.problems, ok=not found.problems)
        else:
            write(sys.stdout, render(found, to))
            reporter.problems(found.problems)
        if found.problems:
            raise typer.Exit(ExitCode.FAILED)


def _settings_row(found: AirflowSettings) -> dict[str, object]:
    options = [
        {"section": item.section, "option": item.option, "team": item.team, "value": item.value}
        for item in found.options
    ]
    return {"variables": variables(found), "options": options, "notes": list(found.notes)}
