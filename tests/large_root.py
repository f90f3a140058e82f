"""A root with very many environments and generations, made in a moment: one that is really built, and copies.

Files of copies are hard links; each has a manifest, a name, a spec and a lock of its own, and a build has nothing
to do there.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from envman.build.plan import plan_generation
from envman.spec.declared import spec_digest
from envman.spec.workspace import Workspace, open_workspace
from envman.store import layout
from envman.store.folder import Store
from envman.store.manifest import Manifest
from envman.store.switches import Action
from envman.system.actor import Actor
from tests.wheels import make_wheel

PACKAGE = "content"


@dataclass(frozen=True)
class LargeRoot:
    """A project whose `environments` are published, each with `old` generations before its current one, and
    with its part of the `bundles`.
    """

    folder: Path
    environments: int
    old: int
    bundles: int

    @property
    def root(self) -> Path:
        """Where the environments are published."""
        return self.folder / "root"

    @property
    def generations(self) -> int:
        """How many there are."""
        return self.environments * (self.old + 1)


def environment(number: int) -> str:
    """The name of an environment."""
    return f"env_{number:04}"


def bundle(number: int) -> str:
    """The name of a bundle."""
    return f"bundle_{number:04}"


def make_large_root(made: LargeRoot, envman: Sequence[str], variables: Mapping[str, str]) -> LargeRoot:
    """Write the project, build its first environment by the command `envman`, copy that one, and publish."""
    (made.folder / "environments").mkdir(parents=True)
    make_wheel(made.folder / "wheelhouse", PACKAGE, "1.0")
    (made.folder / "uv.toml").write_text('no-index = true\nfind-links = ["wheelhouse"]\n')
    _write_project(made, environments=1)

    def run(*words: str) -> None:
        subprocess.run(
            [*envman, *words], cwd=made.folder, env=dict(variables), check=True, capture_output=True
        )

    run("lock")
    run("build", "--offline", "--wheelhouse", "wheelhouse")
    lock = made.folder / f"environments/{environment(0)}.lock"
    for name in map(environment, range(1, made.environments)):
        lock.with_name(f"{name}.lock").write_text(lock.read_text().replace(environment(0), name))
    _write_project(made, made.environments)
    _copy_generations(made)
    run("publish")
    return made


def _write_project(made: LargeRoot, environments: int) -> None:
    bundles = range(made.bundles) if environments > 1 else range(1)
    rows = [f'{bundle(one)} = {{ environment = "{environment(one % environments)}" }}' for one in bundles]
    text = "\n".join(['root = "root"', "[bundles]", *rows, ""])
    (made.folder / "envman.toml").write_text(text)
    version = f"=={sys.version_info.major}.{sys.version_info.minor}.*"
    for number in range(environments):
        # which decides the generation, and not the lock
        checks = f'[checks]\ncommands = [["python", "-c", "{number}"]]\n'
        spec = f'requires-python = "{version}"\ndependencies = ["{PACKAGE}"]\nairflow = false\n{checks}'
        (made.folder / f"environments/{environment(number)}.toml").write_text(spec)


def _copy_generations(made: LargeRoot) -> None:
    workspace, store = open_workspace(made.folder), Store(str(made.root))
    built = store.current_manifest(environment(0))
    for number in range(made.environments):
        name = environment(number)
        for age in range(made.old):
            old = hashlib.sha256(f"{name} {age}".encode()).hexdigest()[:12]
            _copy(store, built, replace(built, generation=old, environment=name))
            store.publish(name, old, Action.BUILD, Actor())
        current = _planned(workspace, store, built, name)
        if current.generation != built.generation:
            _copy(store, built, current)
        store.publish(name, current.generation, Action.BUILD, Actor())


def _planned(workspace: Workspace, store: Store, built: Manifest, name: str) -> Manifest:
    declared = workspace.project.environments[name]
    text = workspace.lock_path(declared).read_text()
    plan = plan_generation(store, declared, text, built.interpreter, rebuild=False)
    return replace(
        built,
        generation=plan.generation,
        environment=name,
        options=plan.options,
        spec=spec_digest(declared),
    )


def _copy(store: Store, built: Manifest, manifest: Manifest) -> None:
    source, target = store.folder(built.generation), store.folder(manifest.generation)
    for parent, _, files in os.walk(source):
        folder = target / os.path.relpath(parent, source)
        folder.mkdir()
        for file in files:
            if file != layout.MANIFEST:
                os.link(f"{parent}/{file}", folder / file, follow_symlinks=False)
    (target / layout.MANIFEST).write_text(manifest.to_json())
