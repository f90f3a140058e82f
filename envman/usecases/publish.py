"""`envman publish`: publish the table alone, for hosts on which nothing is built."""

from __future__ import annotations

from dataclasses import dataclass

from envman.lock.signatures import check_declared
from envman.spec.workspace import Workspace
from envman.store import layout
from envman.store.folder import Store
from envman.store.sealing import Seal


@dataclass(frozen=True)
class PublishOutcome:
    """What the published table says now, and whether this run changed it.

    `not_built` are the environments that have no whole generation below this root. It is no error: where each
    environment is an image, none is built on the scheduler's host. Launches refuse them on their own.
    """

    root: str
    table: str
    changed: bool
    bundles: int
    teams: int
    environments: int
    images: int
    not_built: tuple[str, ...]


def publish(workspace: Workspace, seal: Seal) -> PublishOutcome:
    """Write the table of a project below its root, without building anything; raises OSError, PolicyError."""
    project = workspace.project
    store = Store(project.root)
    check_declared(workspace)
    table = workspace.table()
    seal.table(store, table)
    changed = store.publish_table(table)
    return PublishOutcome(
        root=project.root,
        table=layout.table_path(project.root),
        changed=changed,
        bundles=len(project.bundles),
        teams=len(project.teams),
        environments=len(project.environments),
        images=len(project.images),
        not_built=tuple(name for name in sorted(project.environments) if not _is_built(store, name)),
    )


def _is_built(store: Store, environment: str) -> bool:
    generation = store.current(environment)
    return generation is not None and store.is_whole(generation)
