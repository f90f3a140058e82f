"""`envman resolve`: which environment, which interpreter, and why; the answer that `envman exec` acts on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from envman.launch.airflow_config import read_airflow_bundles
from envman.launch.root import read_table
from envman.resolver.resolve import resolve_bundle, resolve_environment, resolve_team
from envman.resolver.table import Table
from envman.store import layout
from envman.usecases.built import current_manifest
from envman.usecases.workspace import Workspace


@dataclass(frozen=True)
class ResolveOutcome:
    """The answer: environment, its generation and interpreter, and the steps that led there.

    `python` is the path to run. `published` is False where envman.toml says something that is not yet built.
    """

    kind: str
    name: str
    environment: str
    generation: str
    interpreter: str
    python: str
    steps: tuple[str, ...]
    published: bool


def resolve(
    root: str, kind: str, name: str, workspace: Workspace | None, environ: Mapping[str, str] = os.environ
) -> ResolveOutcome:
    """Resolve a bundle, team or environment by the published table.

    Raises ResolveError where there is no answer or the environment is not built.
    """
    table = read_table(root)
    if kind == "bundle":
        resolution = resolve_bundle(table, name, lambda: read_airflow_bundles(environ))
    elif kind == "team":
        resolution = resolve_team(table, name)
    else:
        resolution = resolve_environment(table, name)
    manifest = current_manifest(root, resolution.environment)
    generation = manifest.generation
    steps = (*resolution.steps, f"{root}/{resolution.environment} points to the generation {generation}.")
    return ResolveOutcome(
        kind=kind,
        name=name,
        environment=resolution.environment,
        generation=generation,
        interpreter=manifest.interpreter.describe(),
        python=f"{layout.generation_path(root, generation)}/bin/python",
        steps=steps,
        published=workspace is None or _same(table, workspace, kind, name),
    )


def _same(table: Table, workspace: Workspace, kind: str, name: str) -> bool:
    declared = Table(workspace.table())
    if kind == "bundle":
        return declared.bundle(name) == table.bundle(name) and declared.default() == table.default()
    if kind == "team":
        return declared.team(name) == table.team(name)
    return declared.environment(name) == table.environment(name)
