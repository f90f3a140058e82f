"""Which images are to be made: of which environments, on which base, under which tag."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from envman.errors import Problem, UsageError
from envman.oci.layer import Compression
from envman.spec.image_names import FORMS, Reference, filled_in, parse_reference, placeholders
from envman.spec.project import Environment
from envman.spec.workspace import Workspace
from envman.uv.runner import Source

PLACEHOLDERS = ("environment", "digest")
"""What a tag may hold: the environment's name, and the image's digest in hexadecimal."""


@dataclass(frozen=True)
class ImageOptions:
    """How to build images: `tag` is a name with placeholders, `base` wins over the specs'.

    `engine_options` are for the build command of buildah, podman or docker. `documents` is a folder for bills
    of materials and provenance as files. `on_host`: with this machine's interpreters, without a sandbox.
    """

    source: Source
    jobs: int
    tag: str | None = None
    base: str | None = None
    all_in_one: bool = False
    compression: Compression = Compression.GZIP
    engine_options: tuple[str, ...] = ()
    documents: Path | None = None
    on_host: bool = False


@dataclass(frozen=True)
class PlannedImage:
    """An image to make: its environments, its tag's template and its base."""

    environments: tuple[Environment, ...]
    tag: str
    base: Reference

    @property
    def name(self) -> str:
        """How the progress calls it."""
        return f"image {self.environments[0].name}" if len(self.environments) == 1 else "image"


def plan_images(workspace: Workspace, names: Iterable[str], options: ImageOptions) -> list[PlannedImage]:
    """What to make; raises UsageError with everything that is missing for it."""
    chosen = workspace.choose(names)
    groups = [tuple(chosen)] if options.all_in_one else [(environment,) for environment in chosen]
    problems: list[Problem] = []
    wanted: list[PlannedImage] = []
    for group in groups:
        base = base_of(group, options.base, problems)
        tag = _tag(workspace, group, options, problems)
        if base and tag:
            wanted.append(PlannedImage(group, tag, base))
    if len(groups) > 1 and options.tag and not placeholders(options.tag):
        what = f"{len(groups)} images would all get the tag {options.tag}"
        problems.append(Problem("--tag", what, "Put {environment} into it, or make one image: --all-in-one"))
    if problems:
        raise UsageError(problems)
    return wanted


def base_of(group: Sequence[Environment], asked: str | None, problems: list[Problem]) -> Reference | None:
    """The base of an image of these environments, the one asked for if any; None with what is wrong noted."""
    stated = {asked} if asked else {one.image_base for one in group}
    names = ", ".join(one.name for one in group)
    if len(stated) > 1:
        what = f"{names} have different bases: {', '.join(sorted(stated)) or 'none'}"
        problems.append(Problem("image.base", what, "Name one with --base, or build an image for each."))
        return None
    if not (text := stated.pop()):
        what = f"no base image is stated for {names}"
        remedy = "Name one with --base, or in the spec: [image] base = 'apache/airflow:slim-3.3.2-python3.12'"
        problems.append(Problem("image.base", what, remedy))
        return None
    try:
        return parse_reference(text)
    except ValueError as error:
        problems.append(Problem("--base", str(error), FORMS))
        return None


def _tag(
    workspace: Workspace, group: Sequence[Environment], options: ImageOptions, problems: list[Problem]
) -> str | None:
    """The tag that is asked for, else the image that envman.toml names for the environment."""
    template = options.tag or (workspace.project.images.get(group[0].name) if len(group) == 1 else None)
    if not template:
        name = group[0].name if len(group) == 1 else "all environments together"
        remedy = "Name one: --tag 'registry/team/{environment}:{digest}'"
        problems.append(Problem("--tag", f"there is none for the image of {name}", remedy))
        return None
    unknown = sorted(placeholders(template) - set(PLACEHOLDERS))
    try:
        if unknown:
            raise ValueError(f"'{{{unknown[0]}}}' is no placeholder")
        parse_reference(filled_in(template, dict.fromkeys(PLACEHOLDERS, "a")))
    except ValueError as error:
        listed = " and ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        problems.append(
            Problem(f"--tag {template}", str(error), f"Write registry/path:tag; {listed} are filled in.")
        )
        return None
    return template
