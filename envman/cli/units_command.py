"""`envman units`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from envman.cli.options import JsonOption, ProjectOption, RootOption, root_folder
from envman.cli.output import Reporter
from envman.deployment.service_files import COMPONENTS, UnitFormat, WantedUnits
from envman.errors import Problem, UsageError
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.store.root import read_table
from envman.usecases.units import components_of, has_users_and_limits, write_units


def units_command(
    folder: Annotated[Path, typer.Argument(help="Where to write them.")],
    to: Annotated[UnitFormat, typer.Option("--for", help="What starts the components.")] = UnitFormat.SYSTEMD,
    component: Annotated[
        list[str] | None,
        typer.Option(help="A component. Repeatable. Default: what Airflow's executor asks for."),
    ] = None,
    image: Annotated[str, typer.Option(help="The components' image, for compose and helm.")] = "",
    env_file: Annotated[
        str, typer.Option("--env-file", help="The file with the components' variables.")
    ] = "/etc/airflow/airflow.env",
    program: Annotated[
        str, typer.Option("--envman", metavar="PATH", help="envman's path on the host, or in the image.")
    ] = "/opt/envman/bin/envman",
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write systemd units, a Compose file or Helm values that start this deployment's components.

    They fit what is published. systemd: a run folder, Delegate where environments have limits, two
    capabilities where they have users of their own. compose, helm: health checks. A file that is there
    already is left alone.

    Examples: envman units deploy · envman units deploy --for compose --image registry.company.example/a:1 ·
    envman units deploy --component dag-processor --component triggerer
    """
    reporter = Reporter("units", as_json)
    with reporter.errors():
        for option, path in (("--envman", program), ("--env-file", env_file)):
            if to is UnitFormat.SYSTEMD and not path.startswith("/"):
                raise UsageError(Problem(option, f"'{path}' is not absolute", "Pass an absolute path."))
        store = root_folder(root, project)
        users, limits = has_users_and_limits(read_table(store.root))
        wanted = WantedUnits(
            components=_checked(component) or components_of(AirflowConfiguration(os.environ)),
            root=str(store.root),
            program=program,
            env_file=env_file,
            image=image,
            has_users=users,
            has_limits=limits,
        )
        outcome = write_units(folder, wanted, to)
        if as_json:
            reporter.result(outcome)
            return
        for name in outcome.files:
            reporter.say(f"wrote {folder / name}")


def _checked(components: list[str] | None) -> tuple[str, ...]:
    unknown = [name for name in components or () if name not in COMPONENTS]
    if unknown:
        remedy = f"There are: {', '.join(COMPONENTS)}"
        raise UsageError(Problem("--component", f"unknown: {', '.join(unknown)}", remedy))
    return tuple(dict.fromkeys(components or ()))
