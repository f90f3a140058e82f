"""`envman image build`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from envman.cli.image_options import AllInOneOption, BaseOption
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
from envman.oci.engines import Engine
from envman.oci.layer import Compression
from envman.usecases.images.image_build import build_images
from envman.usecases.images.image_engine_build import build_images_with
from envman.usecases.images.image_outcome import ImageOutcome
from envman.usecases.images.image_plan import ImageOptions

TagOption = Annotated[
    str | None,
    typer.Option(
        "--tag",
        "-t",
        metavar="NAME",
        help="Name of the image; {environment} and {digest} are filled in. Default: [images] of envman.toml.",
    ),
]

EngineChoice = Annotated[
    Engine, typer.Option(help="What builds: envman itself, or a tool that runs a Containerfile.")
]
EngineOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="OPTION", help="An option for the tool's build command; may be given several times."
    ),
]
CompressionOption = Annotated[
    Compression, typer.Option(help="Of the layers. Docker before 23 reads gzip only.")
]
OnHostOption = Annotated[
    bool,
    typer.Option(
        "--on-host", help="Without bubblewrap, at /venv of this machine, if it has the base's interpreter."
    ),
]
DocumentsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Also write bills of materials (CycloneDX) and provenance (SLSA) there."
    ),
]


def image_build_command(
    environments: Environments = None,
    base: BaseOption = None,
    tag: TagOption = None,
    all_in_one: AllInOneOption = False,
    engine: EngineChoice = Engine.ENVMAN,
    engine_option: EngineOption = None,
    compression: CompressionOption = Compression.GZIP,
    on_host: OnHostOption = False,
    documents: DocumentsOption = None,
    offline: OfflineOption = False,
    wheelhouse: WheelhouseOption = None,
    jobs: JobsOption = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build an image for each environment, or one for all, from the locks alone.

    envman's own engine needs neither a daemon nor root, and the same locks on the same base give the same
    image, to the bit. buildah, podman and docker also install image.apt; what there is: envman image engines

    Examples: envman image build env_a --base debian:12 --tag 'registry/team/image_a:{digest}' ·
    envman image build --all-in-one --tag registry/airflow-envs:2026-11 ·
    envman image build env_a --engine docker --engine-option=--network=host
    """
    reporter = Reporter("image build", as_json)
    with reporter.errors():
        workspace = require_workspace(project)
        options = ImageOptions(
            source=source(workspace, offline, wheelhouse),
            jobs=jobs_or_default(jobs),
            tag=tag,
            base=base,
            all_in_one=all_in_one,
            compression=compression,
            engine_options=tuple(engine_option or ()),
            on_host=on_host,
            documents=documents.absolute() if documents else None,
        )
        with progress(reporter) as report:
            if engine is Engine.ENVMAN:
                outcomes = build_images(workspace, environments or [], options, report)
            else:
                outcomes = build_images_with(workspace, environments or [], options, engine, report)
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
