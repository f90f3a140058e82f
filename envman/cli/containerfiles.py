"""`envman image containerfile`, `stage` and `engines`: for images that are built by other tools."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from envman.cli.options import (
    AllInOneOption,
    BaseOption,
    Environments,
    JsonOption,
    ProjectOption,
    RootOption,
    require_workspace,
)
from envman.cli.output import Reporter, size_text
from envman.errors import ExitCode
from envman.processes import Processes
from envman.usecases.containerfile import containerfile
from envman.usecases.image_engines import EngineState, probe_engines
from envman.usecases.image_stage import stage


def containerfile_command(
    environments: Environments = None,
    base: BaseOption = None,
    all_in_one: AllInOneOption = False,
    wheel: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Install envman from this file of the project, from no index."),
    ] = None,
    project: ProjectOption = None,
) -> None:
    """Print a Containerfile for buildah, podman and docker with BuildKit: for a pipeline of your own.

    Examples: envman image containerfile env_a --base debian:12 > Containerfile ·
    envman image containerfile --all-in-one --wheel dist/envman-1.0-py3-none-any.whl
    """
    reporter = Reporter("image containerfile")
    with reporter.errors():
        workspace = require_workspace(project)
        sys.stdout.write(containerfile(workspace, environments or [], base, all_in_one, wheel))


def stage_command(
    environments: Environments = None,
    to: Annotated[Path, typer.Option(metavar="DIR", help="An empty or a new folder.")] = Path("image"),
    root: RootOption = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write built environments and the launcher as they are to be in an image; for Containerfiles.

    Equal files become hard links, and all times SOURCE_DATE_EPOCH.

    Example: envman build env_a --root /venv && envman image stage env_a --root /venv --to /image
    """
    reporter = Reporter("image stage", as_json)
    with reporter.errors():
        outcome = stage(require_workspace(project, root), environments or [], to.absolute())
        if as_json:
            reporter.result(outcome)
        else:
            reporter.say(f"{outcome.folder}: {', '.join(outcome.environments)}, {size_text(outcome.size)}")


def engines_command(as_json: JsonOption = False) -> None:
    """Show which engines of `envman image build` work on this machine, and what the others lack.

    Ends with 1 where none works.
    """
    reporter = Reporter("image engines", as_json)
    with reporter.errors():
        states = probe_engines(Processes())
        works = any(one.works for one in states)
        if as_json:
            reporter.result(states)
        else:
            _show_engines(reporter, states)
        raise typer.Exit(ExitCode.OK if works else ExitCode.FAILED)


def _show_engines(reporter: Reporter, states: tuple[EngineState, ...]) -> None:
    rows = [
        (
            one.engine,
            "works" if one.works else f"lacks {', '.join(one.missing)}",
            ", ".join(f"{name} {version}" for name, version in one.programs.items()) or "-",
        )
        for one in states
    ]
    reporter.table(("engine", "state", "programs"), rows)
    for one in states:
        if one.remedy:
            reporter.note(f"{one.engine}: {one.remedy}")
