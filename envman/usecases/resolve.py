"""`envman resolve`: which environment, which interpreter, and why; the answer that `envman exec` acts on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from envman.launch.airflow_configuration import AirflowConfiguration
from envman.resolver.table import Table
from envman.store import layout
from envman.store.folder import Store
from envman.store.root import take_snapshot


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
    store: Store, kind: str, name: str, declared: Table | None, environ: Mapping[str, str] = os.environ
) -> ResolveOutcome:
    """Resolve a bundle, team or environment by the published table; `declared` is what the project says.

    Raises ResolveError where there is no answer or the environment is not built.
    """
    snapshot = take_snapshot(store.root, AirflowConfiguration(environ).bundles)
    if kind == "bundle":
        resolution = snapshot.resolve(name)
    elif kind == "team":
        resolution = snapshot.resolve_team(name)
    else:
        resolution = snapshot.resolve_environment(name)
    manifest = store.current_manifest(resolution.environment)
    generation = manifest.generation
    steps = (
        *resolution.steps,
        f"{store.root}/{resolution.environment} points to the generation {generation}.",
    )
    return ResolveOutcome(
        kind=kind,
        name=name,
        environment=resolution.environment,
        generation=generation,
        interpreter=manifest.interpreter.describe(),
        python=f"{layout.generation_path(store.root, generation)}/bin/python",
        steps=steps,
        published=declared is None or _same(snapshot.table, declared, kind, name),
    )


def _same(table: Table, declared: Table, kind: str, name: str) -> bool:
    if kind == "bundle":
        return declared.bundle(name) == table.bundle(name) and declared.default() == table.default()
    if kind == "team":
        return declared.team(name) == table.team(name)
    return declared.environment(name) == table.environment(name)
