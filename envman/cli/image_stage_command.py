"""`envman image stage`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from envman.cli.options import (
    Environments,
    JsonOption,
    ProjectOption,
    RootOption,
    require_workspace,
)
from envman.cli.output import Reporter, size_text
from envman.usecases.images.image_stage import stage


def image_stage_command(
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
