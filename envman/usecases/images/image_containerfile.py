"""`envman image containerfile`: a Containerfile for those who have a pipeline of their own."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import envman
from envman.errors import Problem, UsageError
from envman.image.containerfile import BaseFacts, Recipe, containerfile_text, is_plain
from envman.image.oci_values import BASE_NAME, parse_config
from envman.oci.skopeo import Skopeo
from envman.spec.image_names import FILE_SCHEMES, Reference
from envman.spec.load import PROJECT_FILE, ProjectFiles, load_project
from envman.spec.merge import ENVIRONMENTS
from envman.spec.own_code import IGNORES, own_sources
from envman.spec.project import Environment
from envman.spec.workspace import Workspace
from envman.system.source_date import source_date
from envman.usecases.images.base_machine import ROOT
from envman.usecases.images.image_plan import base_of

SPECS = (PROJECT_FILE, ENVIRONMENTS)
"""The files and folders of a project that have its specs and locks."""


def containerfile(
    workspace: Workspace, names: Iterable[str], base: str | None, all_in_one: bool, wheel: str | None
) -> str:
    """The Containerfile of one image; what it depends on of its base is asked of the base.

    `wheel` is a file below the project's folder that envman is installed from, instead of an index.
    Raises UsageError, ImageError.
    """
    group = tuple(workspace.choose(names))
    problems: list[Problem] = []
    if len(group) > 1 and not all_in_one:
        what = f"{len(group)} environments would be {len(group)} images"
        problems.append(Problem("envman image containerfile", what, "Name one, or pass --all-in-one."))
    image = base_of(group, base, problems)
    if image and image.scheme in FILE_SCHEMES:
        remedy = "Name one that is in a registry, or that the tool knows: --base containers-storage:NAME"
        problems.append(Problem(str(image), "a Containerfile can't begin from a file", remedy))
    if wheel is not None and not ((Path(workspace.project.directory) / wheel).is_file() and is_plain(wheel)):
        remedy = "Name a file below the folder of envman.toml, relative to that folder."
        problems.append(Problem("--wheel", f"there is no file {wheel} in the project", remedy))
    if problems or image is None:
        raise UsageError(problems)
    config = parse_config(Skopeo(workspace.processes).config(image), str(image))
    return containerfile_text(recipe(workspace, group, image, config, ContextTools(wheel or "")))


@dataclass(frozen=True)
class ContextTools:
    """What a build context holds to make environments with, relative to it; empty: the index has it, and the
    base has Python's module `venv`.
    """

    wheel: str = ""
    virtualenv: str = ""


def recipe(
    workspace: Workspace,
    group: Sequence[Environment],
    base: Reference,
    config: Mapping[str, Any],
    tools: ContextTools,
) -> Recipe:
    """What the Containerfile of an image is made of, on a base with this configuration."""
    said = config.get("config") or {}
    facts = BaseFacts(
        user=str(said.get("User") or ""),
        environ=dict(entry.split("=", 1) for entry in said.get("Env") or [] if "=" in entry),
        working_folder=str(said.get("WorkingDir") or "").removeprefix("/"),
    )
    return Recipe(
        environments=tuple(one.name for one in group),
        base=base.place,
        facts=facts,
        specs=SPECS,
        files=tuple(path for path in context_files(workspace) if path not in SPECS),
        envman=tools.wheel or f"envman=={envman.__version__}",
        root=ROOT,
        epoch=source_date(config.get("created"), os.environ),
        apt=tuple(sorted({package for one in group for package in one.apt})),
        virtualenv=tools.virtualenv,
        labels={
            "envman.version": envman.__version__,
            **({} if base.is_local else {BASE_NAME: base.place}),
        },
    )


class _Noted(ProjectFiles):
    """Files of a project that remember which of them were read."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.paths: set[str] = set()

    def read(self, path: str) -> str:
        text = super().read(path)
        self.paths.add(path)
        return text


def _own_code(workspace: Workspace) -> set[str]:
    """The folders of the project's own sources, and what says which of their files count.

    Raises UsageError where that is the folder of the project itself, in which specs and locks are.
    """
    found: set[str] = set()
    for environment in workspace.project.environments.values():
        for source in own_sources(environment.sources, workspace.files)[0]:
            if source.path == ".":
                what = "the project's folder is a source, and a Containerfile copies parts of it alone"
                remedy = "Move the code into a folder of its own, or use: envman image build"
                raise UsageError(Problem(environment.file, what, remedy))
            parts = source.path.split("/")
            above = ["/".join([*parts[:count], IGNORES]) for count in range(len(parts))]
            found |= {path for path in above if (workspace.files.directory / path).is_file()}
            found.add(source.path)
    return found


def context_files(workspace: Workspace) -> tuple[str, ...]:
    """What a build needs of a project, relative to its folder: specs, locks and the files that specs name.

    Raises UsageError for a file that a Containerfile can't name.
    """
    noted = _Noted(workspace.files.directory)
    load_project(noted)
    paths = {os.path.normpath(path) for path in noted.paths}
    if config := workspace.project.uv_config:
        paths.add(os.path.relpath(config, workspace.project.directory))
    own = _own_code(workspace)
    paths = {path for path in paths if not path.startswith(tuple(f"{folder}/" for folder in own))} | own
    others = sorted(
        path for path in paths - {PROJECT_FILE} if not path.startswith(f"{ENVIRONMENTS}/") and path != "."
    )
    problems = [
        Problem(path, "a Containerfile can't name it", "Give it a name of letters, digits, . _ - +")
        for path in others
        if not is_plain(path)
    ]
    if problems:
        raise UsageError(problems)
    return (*SPECS, *others)
