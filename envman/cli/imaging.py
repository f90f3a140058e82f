"""The commands below `envman image`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from envman.cli.containerfiles import containerfile_command, engines_command, stage_command
from envman.cli.options import (
    AllInOneOption,
    BaseOption,
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
from envman.errors import Problem, UsageError
from envman.oci.engines import Engine
from envman.oci.layer import Compression
from envman.usecases.image_build import build_images
from envman.usecases.image_engine import build_images_with
from envman.usecases.image_outcome import ImageOutcome
from envman.usecases.image_plan import ImageOptions
from envman.usecases.images import diff_images, inspect_image, list_images, push_images

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
    base: BaseOption = None,
    tag: TagOption = None,
    all_in_one: AllInOneOption = False,
    engine: Annotated[
        Engine, typer.Option(help="What builds: envman itself, or a tool that runs a Containerfile.")
    ] = Engine.ENVMAN,
    engine_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OPTION", help="An option for the tool's build command; may be given several times."
        ),
    ] = None,
    compression: Annotated[
        Compression, typer.Option(help="Of the layers. Docker before 23 reads gzip only.")
    ] = Compression.GZIP,
    on_host: Annotated[
        bool,
        typer.Option(
            "--on-host",
            help="Without bubblewrap, at /venv of this machine, if it has the base's interpreter.",
        ),
    ] = False,
    documents: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Also write bills of materials (CycloneDX) and provenance (SLSA) there."
        ),
    ] = None,
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
        taken_from = source(workspace, offline, wheelhouse)
        options = ImageOptions(
            *(taken_from, jobs_or_default(jobs), tag, base, all_in_one, compression),
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


def complete_image(incomplete: str) -> list[str]:
    """Tags of images in envman's cache for the shell's completion."""
    return [one.tag for one in list_images() if one.tag.startswith(incomplete)]


ImageName = Annotated[
    str,
    typer.Argument(
        metavar="IMAGE",
        help="A tag in envman's cache, else an image in a registry or a file.",
        autocompletion=complete_image,
    ),
]


def push_command(
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TAG]...",
            help="Tags of images in envman's cache. Default: those that [images] of envman.toml names.",
            autocompletion=complete_image,
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
            outcomes = push_images(names, report)
        if as_json:
            reporter.result(outcomes)
            return
        for one in outcomes:
            reporter.say(f"{one.image}  {one.digest}")


def inspect_command(image: ImageName, as_json: JsonOption = False) -> None:
    """Say what is in an image: its environments with their locks and packages, its layers, its user.

    Example: envman image inspect registry/airflow-envs:2026-11
    """
    reporter = Reporter("image inspect", as_json)
    with reporter.errors():
        outcome = inspect_image(image)
        if as_json:
            reporter.result(outcome)
            return
        for key, value in (
            ("image", outcome.image),
            ("digest", outcome.digest),
            ("base", outcome.facts.base),
            ("envman", outcome.facts.envman),
            ("created", outcome.created),
            ("user", outcome.user or "root"),
            ("entrypoint", " ".join(outcome.entrypoint) or "-"),
            ("size", size_text(outcome.size)),
        ):
            reporter.say(f"{key:<11} {value}")
        rows = [
            (name, one.python, str(len(one.packages)), one.generation, one.lock)
            for name, one in sorted(outcome.facts.environments.items())
        ]
        reporter.table(("environment", "python", "packages", "generation", "lock"), rows, right=("packages",))
        layers = [(layer.note or "-", size_text(layer.size), layer.digest) for layer in outcome.layers]
        reporter.table(("layer", "size", "digest"), layers, right=("size",))


def diff_command(old: ImageName, new: ImageName, as_json: JsonOption = False) -> None:
    """Say what differs between two images: base, environments, packages.

    Example: envman image diff registry/airflow-envs:2026-10 registry/airflow-envs:2026-11
    """
    reporter = Reporter("image diff", as_json)
    with reporter.errors():
        outcome = diff_images(old, new)
        if as_json:
            reporter.result(outcome)
        elif not outcome.changes:
            reporter.say("The same image." if outcome.same else "The same base, environments and packages.")
        else:
            rows = [
                (one.environment or "-", one.what, one.old or "-", one.new or "-") for one in outcome.changes
            ]
            reporter.table(("environment", "what", "old", "new"), rows)


def list_command(as_json: JsonOption = False) -> None:
    """List the images in envman's cache.

    Example: envman image list
    """
    reporter = Reporter("image list", as_json)
    with reporter.errors():
        outcomes = list_images()
        if as_json:
            reporter.result(outcomes)
            return
        rows = [
            (one.tag, one.problem or ", ".join(one.environments), size_text(one.size), one.digest)
            for one in outcomes
        ]
        reporter.table(("image", "environments", "size", "digest"), rows, right=("size",))


image_app = typer.Typer(
    name="image", help="Images of environments: build, push, inspect, compare.", no_args_is_help=True
)
image_app.command("build")(build_command)
image_app.command("containerfile")(containerfile_command)
image_app.command("stage")(stage_command)
image_app.command("engines")(engines_command)
image_app.command("push")(push_command)
image_app.command("inspect")(inspect_command)
image_app.command("diff")(diff_command)
image_app.command("list")(list_command)
