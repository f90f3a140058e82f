"""`envman image containerfile`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from envman.cli.image_options import AllInOneOption, BaseOption
from envman.cli.options import (
    Environments,
    ProjectOption,
    require_workspace,
)
from envman.cli.output import Reporter, write
from envman.usecases.images.image_containerfile import containerfile


def image_containerfile_command(
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
        write(sys.stdout, containerfile(workspace, environments or [], base, all_in_one, wheel))
