"""Gather what `envman doctor` judges: what is built and published, and what Airflow's configuration says."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import envman
from envman.build.stamp import stamp
from envman.deployment.environment_script import Inside
from envman.deployment.facts import (
    CORE,
    SDK,
    Configured,
    Confined,
    EnvironmentFacts,
    Exposed,
    KeptBack,
    Unshared,
)
from envman.deployment.unread_options import is_unread
from envman.errors import EnvmanError, Problem, SpecError
from envman.launch.airflow_configuration import VARIABLE as BUNDLES
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.launch.asked_variables import asked_variables
from envman.launch.narrowed_options import COORDINATORS
from envman.launch.purpose import kept_back, purpose_of_bundle, purpose_of_environment, variables_for
from envman.lock.lock_state import LockStatus, lock_state
from envman.release.known_layers import stamp_on_this_host
from envman.resolver.inherited import inherited, is_kind_of_usual, is_the_components, option_of
from envman.resolver.snapshot import Snapshot
from envman.resolver.table import Table
from envman.resolver.variables import DROPPED
from envman.spec.project import Environment
from envman.spec.workspace import Workspace
from envman.store import layout
from envman.store.exposed import writable_by_more
from envman.store.folder import Store
from envman.store.inventory import count_files
from envman.store.manifest import Manifest
from envman.store.verification import verify
from envman.system.files import is_gone
from envman.system.processes import Processes

EXPLAIN = str(Path(envman.__file__).parent / "confine/explain.py")
IMPORTERS = ("dag_processor", "dag_importer_configs")
"""Where Airflow 3.4 has the importers that read files of all bundles."""

EXPLAINING = 60.0
"""Seconds that looking at users and cgroups may take; users may be in a directory elsewhere."""

DAY = 86400.0


def configured(configuration: AirflowConfiguration) -> Configured:
    """Airflow's configuration, as far as it is envman's business; raises SpecError where it can't be read."""
    entries = configuration.bundle_entries()
    importers = _importers(configuration.option(*IMPORTERS) or "[]")
    return Configured(
        bundles=configuration.bundles(),
        classes={str(entry["name"]): (*_classes(entry), *importers) for entry in entries},
        multi_team=configuration.is_on("core", "multi_team"),
        coordinators=configuration.option("sdk", "coordinators") or "",
        queue_map=configuration.option("sdk", "queue_to_coordinator") or "",
    )


def _classes(entry: Mapping[str, object]) -> Iterator[str]:
    """The classes that a bundle's entry names: its own, and its importers' (Airflow 3.4)."""
    for one in (entry, *_listed(entry.get("importers"))):
        path = one.get("classpath") if isinstance(one, dict) else one
        if isinstance(path, str) and path:
            yield path


def _importers(text: str) -> tuple[str, ...]:
    """The classes of the importers of all bundles; raises SpecError where the option is no JSON."""
    try:
        return tuple(_classes({"importers": json.loads(text)}))
    except (ValueError, RecursionError) as error:
        where, remedy = "[{}] {}".format(*IMPORTERS), "Write a JSON list of class paths."
        raise SpecError(Problem(where, f"not valid JSON: {error}", remedy)) from None


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def changes(table: Table, workspace: Workspace) -> tuple[str, ...]:
    """The records of the table that envman.toml would write differently: 'bundle bundle_a'."""
    differing = set(table.records()) ^ set(Table(workspace.table()).records())
    return tuple(sorted({" ".join(line.split("\t")[:2]).removesuffix(" -") for line in differing}))


def environment_facts(
    store: Store, table: Table, workspace: Workspace | None, whole: bool
) -> tuple[tuple[EnvironmentFacts, ...], list[Problem]]:
    """Every published or declared environment; `whole`: read every file. And what could not be looked at."""
    declared = workspace.project.environments if workspace else {}
    facts: list[EnvironmentFacts] = []
    problems: list[Problem] = []
    for name in sorted({*table.names("environment"), *declared}):
        try:
            facts.append(_environment(store, name, workspace, declared.get(name), whole))
        except EnvmanError as error:
            facts.append(EnvironmentFacts(name, store.current(name)))
            problems += error.problems
        try:
            store.history(name)  # the next build and rollback have to read it
        except EnvmanError as error:
            problems += error.problems
    return tuple(facts), problems


def _environment(
    store: Store, name: str, workspace: Workspace | None, declared: Environment | None, whole: bool
) -> EnvironmentFacts:
    lock = lock_state(workspace, declared) if workspace and declared else None
    problem = lock.problem if lock else None
    generation = store.current(name)
    manifest = store.manifest(generation) if generation else None
    if manifest is None:
        return EnvironmentFacts(name, generation, lock=problem)
    hold = store.hold(name)
    behind = lock is not None and lock.status is LockStatus.FRESH and lock.pins != manifest.lock
    return EnvironmentFacts(
        name=name,
        generation=generation,
        whole=True,
        packages={key: manifest.packages[key] for key in (CORE, SDK) if key in manifest.packages},
        interpreter=f"{manifest.interpreter.describe()}, {manifest.interpreter.executable}",
        base=_base(store, manifest),
        altered=_verified(store, name) if whole else _counted(store, manifest),
        lock=problem,
        behind=behind,
        held=hold.describe() if hold else "",
        held_days=int((time.time() - hold.at) // DAY) if hold else 0,
    )


def _base(store: Store, manifest: Manifest) -> str:
    now = stamp(manifest.interpreter.executable)
    if not now:
        return "gone" if is_gone(manifest.interpreter.executable) else ""
    then = stamp_on_this_host(store, manifest.generation) or manifest.interpreter.stamp
    return "" if now == then else "changed"


def _counted(store: Store, manifest: Manifest) -> str:
    """What a look at names and sizes alone tells: not an edit that leaves a file as long as it was."""
    folder = store.folder(manifest.generation)
    try:
        listed = (folder / layout.FILES).read_bytes()
    except OSError as error:
        return f"its file list can't be read: {error.strerror}"
    if not manifest.was_made_for(listed):
        return "its file list was changed"
    count, size = count_files(folder)
    if (count, size) != (manifest.file_count, manifest.size):
        return f"{manifest.file_count} files of {manifest.size} bytes were built, {count} of {size} are there"
    return ""


def _verified(store: Store, name: str) -> str:
    (outcome,) = verify(store, [name])
    found = [f"{difference.path} ({difference.kind})" for difference in outcome.differences]
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return ", ".join(found[:3]) + more


def exposed(store: Store, environments: tuple[EnvironmentFacts, ...]) -> Iterator[Exposed]:
    """What more users than its owner may write."""
    generations = [item.generation for item in environments if item.generation]
    for path, status in writable_by_more(store, generations):
        mode = stat.S_IMODE(status.st_mode)
        yield Exposed(path, f"{mode:o}", bool(mode & stat.S_IWOTH), bool(mode & stat.S_ISVTX))


def variables_kept_back(
    snapshot: Snapshot, configuration: AirflowConfiguration, environ: Mapping[str, str]
) -> Iterator[KeptBack]:
    """What files of bundles that are folders of this host name, and their workloads do not get."""
    environments = snapshot.answers().environments
    for bundle, folder in configuration.local_folders().items():
        if bundle in environments:
            purpose = purpose_of_bundle(snapshot, bundle, environ)
            handed = {one.variable for one in snapshot.table.credentials(purpose.environment)}
            names = kept_back(variables_for(snapshot, purpose, "/bin", environ), environ)
            names = [name for name in names if name not in handed]
            for variable, file in asked_variables(folder, names).items():
                yield KeptBack(bundle, purpose.environment, variable, file)


def shared_folders_missed(
    snapshot: Snapshot, configuration: AirflowConfiguration, store: Store
) -> Iterator[Unshared]:
    """Shared folders of bundles that are folders of this host, which those bundles' code does not get."""
    environments = snapshot.answers().environments
    for bundle, own in configuration.local_folders().items():
        for place in snapshot.table.shared(bundle):
            folder, name = os.path.normpath(f"{own}/{place}"), place.rpartition("/")[2]
            environment = environments.get(bundle)
            if not Path(folder).is_dir():
                yield Unshared(bundle, place, folder)
            elif environment and (generation := store.current(environment)):
                for found in sorted(store.folder(generation).glob(f"lib/python3*/site-packages/{name}*")):
                    if found.name == name or found.name.startswith(f"{name}."):
                        yield Unshared(bundle, place, folder, str(found))


def variables_not_handed_on(snapshot: Snapshot, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The variables that reach no environment with bundles, and which something in a workload may read: by
    their kind Airflow's or the machine's, not the components' own, and not kept out by a spec.
    """
    reached = {*DROPPED, BUNDLES, COORDINATORS}
    for name in {*snapshot.answers().environments.values()}:
        purpose = purpose_of_environment(snapshot, name, environ)
        reached.update(inherited(environ, purpose.teams, snapshot.table.passed(name)))
        reached.update((snapshot.table.environment(name) or ((), {}))[1])
        reached.update(one.variable for one in snapshot.table.credentials(name))
    left = (name for name in environ if is_kind_of_usual(name) and name not in reached)
    return tuple(sorted(name for name in left if not is_the_components(name) and not _is_unread(name)))


def _is_unread(name: str) -> bool:
    option = option_of(name)
    return any(
        is_unread(one) for one in (option, option.removesuffix("_CMD"), option.removesuffix("_SECRET"))
    )


def confined(
    store: Store, table: Table, environ: Mapping[str, str], processes: Processes
) -> tuple[Confined, ...]:
    """How this host would hold the environments that have a user or limits; raises InsideError.

    Those that are an image, and are not built here, run elsewhere.
    """
    wanted = {
        name: {"user": table.user(name), "limits": table.limits(name)}
        for name in sorted({*table.names("user"), *table.names("limits")})
        if table.image(name) is None or store.current(name)
    }
    if not wanted:
        return ()
    inside = Inside("", "this host's users and cgroups", sys.executable, environ)
    answer = inside.ask(processes, (EXPLAIN,), wanted, timeout=EXPLAINING)
    return tuple(
        Confined(name, table.user(name), table.limits(name), **found)
        for name, found in answer["environments"].items()
    )
