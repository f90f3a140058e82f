"""The commands below `envman image`."""

from __future__ import annotations

from typing import Annotated

import typer

from envman.cli.options import (
    Environments,
    JobsOption,
    JsonOption,
    OfflineOption,
    ProjectOption,
    WheelhouseOption,
    jobs_or_default,
    require_workspace,
    source,
)
from envman.cli.output import Reporter, size_text
from envman.cli.progress import progress
from envman.oci.layer import Compression
from envman.usecases.image_build import ImageOutcome, build_images
from envman.usecases.image_plan import ImageOptions

TagOption = Annotated[
    str | None,
    typer.Option(
        "--tag",
        "-t",
        metavar="NAME",
        help="Name of the image; {environment} and {digest} are filled in. Default: [images] of envman.toml.",
    ),
]


def build_command(
    environments: Environments = None,
    base: Annotated[
        str | None,
        typer.Option("--base", metavar="IMAGE", help="Base image. Default: image.base of the specs."),
    ] = None,
    tag: TagOption = None,
    all_in_one: Annotated[
        bool, typer.Option("--all-in-one", help="One image with all these environments, in one layer.")
    ] = False,
    compression: Annotated[
        Compression, typer.Option(help="Of the layers. Docker before 23 reads gzip only.")
    ] = Compression.GZIP,
    offline: OfflineOption = False,
    wheelhouse: WheelhouseOption = None,
    jobs: JobsOption = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build an image for each environment, or one for all, from the locks alone.

    It needs neither a daemon nor root. The same locks on the same base give the same image, to the bit.

    Examples: envman image build env_a --base debian:12 --tag 'registry/team/image_a:{digest}' ·
    envman image build --all-in-one --tag registry/airflow-envs:2026-11
    """
    reporter = Reporter("image build", as_json)
    with reporter.errors():
        workspace = require_workspace(project)
        options = ImageOptions(
            source(workspace, offline, wheelhouse), jobs_or_default(jobs), tag, base, all_in_one, compression
        )
        with progress(reporter) as report:
            outcomes = build_images(workspace, environments or [], options, report)
        if as_json:
            reporter.result(outcomes)
        else:
            _show(reporter, outcomes)


def _show(reporter: Reporter, outcomes: tuple[ImageOutcome, ...]) -> None:
    rows = [
        (
            ", ".join(one.environments),
            layer.note,
            size_text(layer.size),
            "unchanged" if layer.reused else f"{layer.seconds:.1f} s",
        )
        for one in outcomes
        for layer in one.layers
    ]
    reporter.table(("environments", "layer", "size", "time"), rows, right=("size", "time"))
    for one in outcomes:
        reporter.say(f"{one.tag}  {one.digest}  {size_text(one.size)}")


image_app = typer.Typer(
    name="image", help="Images of environments: build, push, inspect, compare.", no_args_is_help=True
)
image_app.command("build")(build_command)
