"""`envman push`."""

from __future__ import annotations

from typing import Annotated

import typer

from envman.cli.options import Environments, JsonOption, ProjectOption, RootOption, root_folder
from envman.cli.output import Reporter, size_text
from envman.cli.progress import progress
from envman.spec.image_names import reference_argument
from envman.usecases.push import push


def push_command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="Where to: registry/path:tag, oci:FOLDER:NAME or oci-archive:FILE:NAME.",
        ),
    ],
    environments: Environments = None,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Push built environments and the published table, for hosts that pull them instead of building.

    Layers that the registry has are not sent again. The same environments give the same digest. Credentials
    are skopeo's: log in with skopeo login, podman login or docker login.

    Examples: envman push registry/airflow/envs:2026-11 · envman push oci:/mnt/usb/envs:2026-11 env_a
    """
    reporter = Reporter("push", as_json)
    with reporter.errors():
        place = reference_argument(target)
        with progress(reporter) as report:
            outcome = push(root_folder(root, project), place, environments or [], report)
        if as_json:
            reporter.result(outcome)
            return
        counts = (
            f"{len(outcome.environments)} environments in {outcome.layers} layers, {size_text(outcome.size)}"
        )
        reporter.say(f"{outcome.target}  {outcome.digest}")
        reporter.say(f"{counts}; {outcome.made} layers are new")
