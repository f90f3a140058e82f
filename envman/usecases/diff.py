"""`envman diff`: how two environments differ, or a generation and its lock."""

from __future__ import annotations

from dataclasses import dataclass

from envman.errors import LockError
from envman.lock.changes import PackageChange, package_changes
from envman.lock.lock_state import LockStatus, lock_state, read_lock_text
from envman.lock.lockfile import parse_lock, versions
from envman.spec.workspace import Workspace
from envman.store.folder import Store
from envman.store.manifest import Manifest


@dataclass(frozen=True)
class DiffOutcome:
    """How the packages of two environments, or of one and its generation, differ."""

    left: str
    right: str
    changes: tuple[PackageChange, ...]


def diff(workspace: Workspace, store: Store, left: str, right: str | None) -> DiffOutcome:
    """Compare the locks of two environments; with one name, its current generation and its lock.

    Raises UsageError for an unknown name, LockError for a missing lock, ResolveError for no generation.
    """
    if right is None:
        generation = store.current(left)
        manifest = store.manifest(generation) if generation else None
        old = {name: (version,) for name, version in manifest.packages.items()} if manifest else {}
        new = _installable(workspace, left, manifest) if manifest else _locked(workspace, left)
        return DiffOutcome(
            f"{left} (generation {generation or 'none'})", f"{left} (lock)", package_changes(old, new)
        )
    workspace.choose([left, right])
    return DiffOutcome(left, right, package_changes(_locked(workspace, left), _locked(workspace, right)))


def _locked(workspace: Workspace, name: str) -> dict[str, tuple[str, ...]]:
    environment = workspace.choose([name])[0]
    state = lock_state(workspace, environment)
    if state.status in {LockStatus.MISSING, LockStatus.DAMAGED} and state.problem:
        raise LockError(state.problem)
    text = read_lock_text(workspace, environment)
    return versions(parse_lock(text, environment.lock_file, name).pins)


def _installable(workspace: Workspace, name: str, manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """The lock's versions that apply under the generation's interpreter."""
    environment = workspace.choose([name])[0]
    lock = parse_lock(read_lock_text(workspace, environment), environment.lock_file, name)
    markers = manifest.interpreter.marker_environment()
    return {pin.name: (pin.version,) for pin in lock.pins if pin.applies(markers)}
