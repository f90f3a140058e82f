"""Options that several commands share, and how a command finds its project and root."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from envman.cli.completion import complete_bundle, complete_environment, complete_team
from envman.cli.output import ROOTS, Reporter, write
from envman.errors import Problem, SpecError, UsageError, printable
from envman.store.root import absolute, find_project, find_root

if TYPE_CHECKING:
    from envman.resolver.table import Table
    from envman.spec.workspace import Workspace
    from envman.store.folder import Store
    from envman.uv.runner import Source


Environments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ENVIRONMENT]...",
        help="Environments; all if none is named.",
        autocompletion=complete_environment,
    ),
]
BundleOption = Annotated[
    str | None, typer.Option(metavar="BUNDLE", help="A bundle's name.", autocompletion=complete_bundle)
]
TeamOption = Annotated[
    str | None, typer.Option(metavar="TEAM", help="A team's name.", autocompletion=complete_team)
]
EnvironmentOption = Annotated[
    str | None,
    typer.Option(metavar="ENVIRONMENT", help="An environment's name.", autocompletion=complete_environment),
]
EnvironmentName = Annotated[
    str,
    typer.Argument(metavar="ENVIRONMENT", help="An environment's name.", autocompletion=complete_environment),
]
ProjectOption = Annotated[
    Path | None,
    typer.Option(
        "--project",
        metavar="DIR",
        envvar="ENVMAN_PROJECT",
        help="Folder of envman.toml. Default: the nearest upwards.",
    ),
]
RootOption = Annotated[
    str | None,
    typer.Option(
        "--root",
        metavar="DIR",
        envvar="ENVMAN_ROOT",
        help="Root folder of the environments. Default: envman.toml's.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write one JSON object to standard output.")]
TimeoutOption = Annotated[
    float | None,
    typer.Option(min=0.1, metavar="SECONDS", help="Seconds for each file. Default: Airflow's own limits."),
]
JobsOption = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, metavar="N", help="Environments at once. Default: processors."),
]
OfflineOption = Annotated[bool, typer.Option("--offline", help="Take files from uv's cache alone.")]
WheelhouseOption = Annotated[
    Path | None,
    typer.Option("--wheelhouse", metavar="DIR", help="Take files from this folder alone, from no index."),
]
PythonOption = Annotated[
    str | None,
    typer.Option("--python", metavar="PYTHON", help="Version or path of the base interpreter to use."),
]
SignOption = Annotated[
    str | None,
    typer.Option("--sign", metavar="KEY", help="Sign what is published, with this key; see: envman sign"),
]


def project_folder(option: Path | None) -> Path | None:
    """The project's folder, if there is one."""
    if option is not None:
        return Path(absolute(str(option)))
    found = find_project(os.environ, ".")
    return Path(found) if found else None


def with_project(option: Path | None) -> Mapping[str, str]:
    """The variables of this process, as if --project were ENVMAN_PROJECT."""
    return os.environ if option is None else {**os.environ, "ENVMAN_PROJECT": str(option)}


def require_workspace(option: Path | None, root: str | None = None) -> Workspace:
    """Load the project; raises UsageError where there is none, SpecError where it is wrong.

    One of a folder above, which nobody has named, is told: it may be another one than is thought of.
    """
    folder = project_folder(option)
    if folder is None:
        remedy = "Go to a folder below one, pass --project, or make a starter: envman init"
        raise UsageError(Problem("envman.toml", "there is none here or in a folder above", remedy))
    if option is None and folder in Path.cwd().parents:
        write(sys.stderr, f"project: {printable(str(folder))}, a folder above this one\n")
    workspace = _open(folder)
    workspace = workspace.at_root(absolute(root)) if root else workspace
    ROOTS.add(workspace.project.root)
    return workspace


def find_workspace(option: Path | None, reporter: Reporter) -> Workspace | None:
    """Load the project if there is one and it is right: what is published can be seen without."""
    folder = project_folder(option)
    if folder is None or not (folder / "envman.toml").is_file():
        return None
    try:
        return _open(folder)
    except SpecError:
        reporter.note("Only what is published is shown, as the specs are wrong: envman lock says how")
        return None


def find_answers(option: Path | None, reporter: Reporter, environment: str | None) -> Table | None:
    """What the project says of bundles and teams, and of one environment, if there is a project and it is
    right. Other environments are not looked at.
    """
    folder = project_folder(option)
    if folder is None or not (folder / "envman.toml").is_file():
        return None
    from envman.resolver.table import Table
    from envman.spec.workspace import declared_answers

    try:
        return Table(declared_answers(folder, environment))
    except SpecError:
        reporter.note("Only what is published is shown, as the specs are wrong: envman lock says how")
        return None


def _open(folder: Path) -> Workspace:
    from envman.spec.workspace import open_workspace  # the model of the specs takes as long as all the rest

    return open_workspace(folder)


def workspace_if_any(option: Path | None) -> Workspace | None:
    """Load the project if there is one; raises SpecError where it is wrong."""
    folder = project_folder(option)
    return _open(folder) if folder and (folder / "envman.toml").is_file() else None


def root_folder(option: str | None, project: Path | None) -> Store:
    """The root folder, with or without a project; raises ResolveError where it is not known."""
    from envman.store.folder import Store  # a press of Tab needs no more than where the root is

    found = find_root(with_project(project), option, ".")
    ROOTS.add(found)
    return Store(found)


def source(workspace: Workspace, offline: bool, wheelhouse: Path | None = None) -> Source:
    """Where uv takes files from; raises UsageError for a wheelhouse that isn't there."""
    if wheelhouse is not None and not wheelhouse.is_dir():
        raise UsageError(
            Problem(str(wheelhouse), "there is no such folder", "Fill one first: envman wheelhouse")
        )
    from envman.uv.runner import Source

    if cache := os.environ.get("UV_CACHE_DIR"):
        os.environ["UV_CACHE_DIR"] = os.path.abspath(cache)  # uv runs in a folder of its own
    folder = str(wheelhouse.absolute()) if wheelhouse else None
    config = workspace.project.uv_config or os.environ.get("UV_CONFIG_FILE")
    return Source(offline, folder, config)


def jobs_or_default(jobs: int | None) -> int:
    """How many environments at once."""
    from envman.system.side_by_side import default_jobs

    return jobs or default_jobs()
