"""`envman list`: what is declared, locked and published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from envman.launch.airflow_configuration import AirflowConfiguration
from envman.lock.lock_state import lock_state
from envman.resolver.table import Table
from envman.spec.workspace import Workspace
from envman.store.folder import Store
from envman.store.holds import Hold
from envman.store.manifest import BaseInterpreter
from envman.store.root import take_snapshot
from envman.system.files import is_gone


@dataclass(frozen=True)
class EnvironmentRow:
    """One environment: declared (requires-python, lock), published (interpreter, generation), and used by.

    `size` is in bytes. What does not apply is None: an environment may be declared and not built, or built
    and no longer declared. `is_behind`: the generation was built from another lock than this fresh one.
    """

    environment: str
    requires_python: str | None
    interpreter: str | None
    packages: int | None
    lock: str | None
    is_behind: bool
    hold: Hold | None
    generation: str | None
    size: int | None
    bundles: tuple[str, ...]
    teams: tuple[str, ...]


def _interpreter(base: BaseInterpreter) -> str:
    """As people say it, and whether it is still there."""
    return f"{base.describe()}, gone" if is_gone(base.executable) else base.describe()


def list_environments(
    store: Store, workspace: Workspace | None, environ: Mapping[str, str]
) -> tuple[EnvironmentRow, ...]:
    """Every environment that is declared or published, sorted by name.

    Bundles are those of envman.toml (without it, of the published table) and of Airflow's configuration.
    """
    names = set(store.environments())
    if workspace:
        names |= set(workspace.project.environments)
    declared = Table(workspace.table()) if workspace else None
    snapshot = take_snapshot(store.root, AirflowConfiguration(environ).bundles, declared)
    bundles = snapshot.answers().by_environment()
    teams: dict[str, list[str]] = {}
    for team in snapshot.table.names("team"):
        teams.setdefault(snapshot.table.team(team) or "", []).append(team)
    return tuple(
        _row(store, workspace, name, bundles.get(name, []), teams.get(name, [])) for name in sorted(names)
    )


def _row(
    store: Store, workspace: Workspace | None, name: str, bundles: list[str], teams: list[str]
) -> EnvironmentRow:
    declared = workspace.project.environments.get(name) if workspace else None
    lock = lock_state(workspace, declared) if workspace and declared else None
    generation = store.current(name)
    manifest = store.manifest(generation) if generation else None
    return EnvironmentRow(
        environment=name,
        requires_python=declared.requires_python if declared else None,
        interpreter=_interpreter(manifest.interpreter) if manifest else None,
        packages=len(manifest.packages) if manifest else None,
        lock=lock.status.value if lock else None,
        is_behind=bool(manifest and lock and lock.pins and lock.pins != manifest.lock),
        hold=store.hold(name),
        generation=generation,
        size=manifest.size if manifest else None,
        bundles=tuple(bundles),
        teams=tuple(teams),
    )
