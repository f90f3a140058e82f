"""`envman list`, `diff` and `history`: what is declared, locked, published, and how two of them differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from envman.errors import LockError, Problem, ResolveError, UsageError
from envman.generation.manifest import Manifest
from envman.launch.airflow_config import read_airflow_bundles
from envman.launch.root import read_table
from envman.lock.changes import PackageChange, package_changes
from envman.lock.lockfile import parse_lock, versions
from envman.resolver.resolve import resolve_bundle
from envman.resolver.table import Table
from envman.spec.names import nearest
from envman.store.generations import read_manifest
from envman.store.publish import current, published_environments, read_history
from envman.usecases.lock_state import LockStatus, lock_state, read_lock_text
from envman.usecases.workspace import Workspace


@dataclass(frozen=True)
class EnvironmentRow:
    """One environment: declared (requires-python, lock), published (interpreter, generation), and used by.

    `size` is in bytes. What does not apply is None: an environment may be declared and not built, or built
    and no longer declared.
    """

    environment: str
    requires_python: str | None
    interpreter: str | None
    packages: int | None
    lock: str | None
    generation: str | None
    size: int | None
    bundles: tuple[str, ...]
    teams: tuple[str, ...]


def list_environments(
    root: str, workspace: Workspace | None, environ: Mapping[str, str]
) -> tuple[EnvironmentRow, ...]:
    """Every environment that is declared or published, sorted by name.

    Bundles are those of envman.toml (without it, of the published table) and of Airflow's configuration.
    """
    names = set(published_environments(root))
    if workspace:
        names |= set(workspace.project.environments)
    table = Table(workspace.table()) if workspace else read_table(root)
    bundles = bundles_by_environment(table, environ)
    teams: dict[str, list[str]] = {}
    for team in table.names("team"):
        teams.setdefault(table.team(team) or "", []).append(team)
    return tuple(
        _row(root, workspace, name, bundles.get(name, []), teams.get(name, [])) for name in sorted(names)
    )


def bundles_by_environment(table: Table, environ: Mapping[str, str]) -> dict[str, list[str]]:
    """The bundles that run in each environment, sorted: the table's, and those of Airflow's configuration."""
    configured = read_airflow_bundles(environ)
    bundles: dict[str, list[str]] = {}
    for bundle in sorted({*table.names("bundle"), *configured.teams}):
        try:
            answer = resolve_bundle(table, bundle, lambda: configured)
        except ResolveError:  # a bundle without an environment belongs to none of the rows
            continue
        bundles.setdefault(answer.environment, []).append(bundle)
    return bundles


def _row(
    root: str, workspace: Workspace | None, name: str, bundles: list[str], teams: list[str]
) -> EnvironmentRow:
    declared = workspace.project.environments.get(name) if workspace else None
    generation = current(root, name)
    manifest = read_manifest(root, generation) if generation else None
    return EnvironmentRow(
        environment=name,
        requires_python=declared.requires_python if declared else None,
        interpreter=manifest.interpreter.describe() if manifest else None,
        packages=len(manifest.packages) if manifest else None,
        lock=lock_state(workspace, declared).status.value if workspace and declared else None,
        generation=generation,
        size=manifest.size if manifest else None,
        bundles=tuple(bundles),
        teams=tuple(teams),
    )


@dataclass(frozen=True)
class DiffOutcome:
    """How the packages of two environments, or of one and its generation, differ."""

    left: str
    right: str
    changes: tuple[PackageChange, ...]


def diff(workspace: Workspace, root: str, left: str, right: str | None) -> DiffOutcome:
    """Compare the locks of two environments; with one name, its current generation and its lock.

    Raises UsageError for an unknown name, LockError for a missing lock, ResolveError for no generation.
    """
    if right is None:
        generation = current(root, left)
        manifest = read_manifest(root, generation) if generation else None
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


@dataclass(frozen=True)
class HistoryRow:
    """One switch of an environment's name; `at` is UTC (ISO 8601). `kept`: the generation is still there."""

    generation: str
    at: str
    action: str
    current: bool
    kept: bool
    interpreter: str | None
    packages: int | None


def history(root: str, environment: str) -> tuple[HistoryRow, ...]:
    """The switches of an environment's name, newest first; raises UsageError for one never published."""
    switches = read_history(root, environment)
    if not switches:
        raise UsageError(unpublished(root, environment))
    now = current(root, environment)
    newest = {switch.generation: index for index, switch in enumerate(switches)}
    rows: list[HistoryRow] = []
    for index, switch in enumerate(switches):
        manifest = read_manifest(root, switch.generation)
        rows.append(
            HistoryRow(
                generation=switch.generation,
                at=datetime.fromtimestamp(switch.at, timezone.utc).isoformat(timespec="seconds"),
                action=switch.action.value,
                current=switch.generation == now and newest[switch.generation] == index,
                kept=manifest is not None,
                interpreter=manifest.interpreter.describe() if manifest else None,
                packages=len(manifest.packages) if manifest else None,
            )
        )
    return tuple(reversed(rows))


def unpublished(root: str, environment: str) -> Problem:
    """The problem of an environment that has never been published below a root."""
    what = f"has never been published in {root}"
    return Problem(f"environment '{environment}'", what, nearest(environment, published_environments(root)))
