"""`envman image push`."""

from __future__ import annotations

from typing import Annotated

import typer

from envman.cli.completion import complete_image
from envman.cli.options import (
    JsonOption,
    ProjectOption,
    require_workspace,
)
from envman.cli.output import Reporter
from envman.cli.progress import progress
from envman.errors import Problem, UsageError
from envman.usecases.images.image_push import push_images


def image_push_command(
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TAG]...",
            help="Tags of images in envman's cache. Default: those that [images] of envman.toml names.",
            autocompletion=complete_image,
        ),
    ] = None,
    sign_by: Annotated[
        str | None,
        typer.Option(
            "--sign-by", metavar="FINGERPRINT", help="Sign the images with this GPG key, as skopeo does."
        ),
    ] = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Push images to the registries that their tags name. What a registry has is not sent again.

    Credentials are skopeo's: log in with skopeo login, podman login or docker login.

    Example: envman image push registry/airflow-envs:2026-11
    """
    reporter = Reporter("image push", as_json)
    with reporter.errors():
        names = images or sorted(set(require_workspace(project).project.images.values()))
        if not names:
            remedy = "Name a tag, or the images of the environments in [images] of envman.toml."
            raise UsageError(Problem("", "there is no image to push", remedy))
        with progress(reporter) as report:
            outcomes = push_images(names, report, sign_by)
        if as_json:
            reporter.result(outcomes)
            return
        for one in outcomes:
            reporter.say(f"{one.image}  {one.digest}")
