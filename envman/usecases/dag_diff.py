"""Dags that come out differently in the old and the new generation of their environment."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from envman.errors import EnvmanError, InterruptedByUserError, Problem, UsageError
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.lock.comparison import EnvironmentChange, EnvironmentStatus
from envman.lock.lockfile import Pin, body_digest
from envman.resolver.snapshot import Snapshot
from envman.resolver.table import Table
from envman.spec.workspace import Workspace
from envman.store.folder import Store
from envman.system.events import Event, Report, Stage
from envman.usecases.check import CheckOutcome, CheckRequest, check

_OF_A_MOMENT = frozenset({"fileloc", "_processor_dags_folder", "last_loaded"})
"""What a serialized Dag says of its place and time, not of itself."""

_SHOWN = 5


@dataclass(frozen=True)
class DagDifference:
    """A Dag, or a file (`dag` is empty), that comes out differently; `what` says how."""

    bundle: str
    file: str
    dag: str
    what: str


@dataclass(frozen=True)
class DagDifferences:
    """What was parsed in both generations, and what differs; `notes` say what could not be compared."""

    bundles: tuple[str, ...]
    dags: int
    differences: tuple[DagDifference, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Parsed:
    """A bundle as one generation parsed it; `dags` is what Airflow serialized, by Dag."""

    outcome: CheckOutcome
    dags: Mapping[str, Any]


def dag_differences(
    workspace: Workspace,
    changes: Iterable[EnvironmentChange],
    report: Report,
    on_line: Callable[[str], None],
) -> DagDifferences:
    """Parse the Dags of bundles whose environments changed, in the old and in the new generation.

    Both have to be built below the root folder. The files are those of the working tree. What can't be
    compared is noted.
    """
    store = Store(workspace.project.root)
    bundles = _bundles_by_environment(workspace)
    compared: list[str] = []
    notes: list[str] = []
    differences: list[DagDifference] = []
    count = 0
    for one in changes:
        wanted = bundles.get(one.environment, [])
        if not wanted or one.status in {EnvironmentStatus.UNCHANGED, EnvironmentStatus.REMOVED}:
            continue
        old, new = (_generation(store, pins) for pins in (one.old, one.new))
        if not one.old:
            notes.append(f"{one.environment}: there is no older lock to parse its Dags with")
        elif not (old and new):
            notes.append(_unbuilt(one.environment, old, new, store.root))
        else:
            for bundle in wanted:
                which = _Which(bundle, one.environment, old, new)
                try:
                    before, after, again = _parsed_in_both(store, workspace, which, report, on_line)
                except InterruptedByUserError:
                    raise
                except EnvmanError as error:
                    problem = error.problems[0]
                    notes.append(f"{bundle}: Dags were not compared: {problem.where}: {problem.what}")
                    continue
                compared.append(bundle)
                count += len({*before.dags, *after.dags})
                restless = {dag for dag, data in before.dags.items() if again.dags.get(dag, data) != data}
                found = list(differences_of(bundle, before, after))
                differences += [difference for difference in found if difference.dag not in restless]
                if restless:
                    listed = ", ".join(sorted(restless))
                    notes.append(f"{bundle}: differ from parse to parse, and were not compared: {listed}")
    return DagDifferences(tuple(compared), count, tuple(differences), tuple(notes))


@dataclass(frozen=True)
class _Which:
    """A bundle, its environment, and two generations of it."""

    bundle: str
    environment: str
    old: str
    new: str


def _parsed_in_both(
    store: Store, workspace: Workspace, which: _Which, report: Report, on_line: Callable[[str], None]
) -> tuple[Parsed, Parsed, Parsed]:
    """A bundle, parsed in the old generation and in the new one; where Dags differ, in the old one again,
    as a Dag may be another one each time. Raises EnvmanError.
    """
    path = workspace.project.bundles[which.bundle].path
    if path is None:
        what = "envman.toml does not say in which folder its Dags are"
        raise UsageError(Problem(f"bundles.{which.bundle}.path", what, "State its path."))
    folder = workspace.files.directory / path

    def parsed(generation: str) -> Parsed:
        report(Event(which.bundle, Stage.CHECKING, f"its Dags in {generation}"))
        request = CheckRequest(which.bundle, folder, which.environment, None, generation)
        return _parse(store, request, workspace, on_line)

    before, after = parsed(which.old), parsed(which.new)
    both = before.dags.keys() & after.dags.keys()
    is_other = any(before.dags[dag] != after.dags[dag] for dag in both)
    return before, after, parsed(which.old) if is_other else before


def _bundles_by_environment(workspace: Workspace) -> dict[str, list[str]]:
    snapshot = Snapshot(
        workspace.project.root, Table(workspace.table()), AirflowConfiguration(os.environ).bundles
    )
    return snapshot.answers_for(workspace.project.bundles).by_environment()


def _generation(store: Store, pins: tuple[Pin, ...]) -> str | None:
    """A generation that was made of a lock with these pins: the latest one."""
    digest = body_digest(pins)
    found = []
    for generation in store.generations():
        try:
            manifest = store.manifest(generation)
        except EnvmanError:  # a damaged one is none
            continue
        if manifest and manifest.lock == digest:
            found.append((manifest.created, generation))
    return max(found)[1] if found else None


def _unbuilt(environment: str, old: str | None, new: str | None, root: str) -> str:
    which = " and ".join(
        word for word, generation in (("the old lock", old), ("the new lock", new)) if not generation
    )
    how = [] if new else [f"envman build {environment}"]
    how += [] if old else [f"in a checkout of the revision: envman build {environment} --root {root}"]
    return f"{environment}: Dags were not compared, as {which} is not built in {root}. Run {'; '.join(how)}"


def _parse(
    store: Store, request: CheckRequest, workspace: Workspace, on_line: Callable[[str], None]
) -> Parsed:
    texts: list[str] = []
    outcome = check(store, request, workspace.processes, os.environ, on_line, texts.append)
    return Parsed(outcome, dict(serialized("".join(texts))))


def serialized(text: str) -> Iterator[tuple[str, Any]]:
    """What Airflow serialized, by Dag; a line that is none is passed over: strangers' code wrote it."""
    for line in text.splitlines():
        try:
            dag = json.loads(line)["data"]["dag"]
            yield str(dag["dag_id"]), {key: value for key, value in dag.items() if key not in _OF_A_MOMENT}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue


def differences_of(bundle: str, old: Parsed, new: Parsed) -> Iterator[DagDifference]:
    """Errors that come and go, by file, and Dags that come out differently."""
    before, after = ({file.file: file for file in one.outcome.files} for one in (old, new))
    for name in sorted(before.keys() | after.keys()):
        errors = [
            {error.file: error.text for error in (side[name].errors if name in side else ())}
            for side in (before, after)
        ]
        for file in sorted(errors[0].keys() | errors[1].keys()):
            if file not in errors[0]:
                yield DagDifference(bundle, file, "", f"import error: {_last_line(errors[1][file])}")
            elif file not in errors[1]:
                yield DagDifference(bundle, file, "", "has no import error any more")
    places = _places(old) | _places(new)
    for dag in sorted({*_places(old), *_places(new)}):
        file = places[dag]
        if dag not in _places(new):
            yield DagDifference(bundle, file, dag, "is gone")
        elif dag not in _places(old):
            yield DagDifference(bundle, file, dag, "is new")
        elif old.dags.get(dag) != new.dags.get(dag):
            where = list(_paths(old.dags.get(dag), new.dags.get(dag)))
            more = f" and {len(where) - _SHOWN} more" if len(where) > _SHOWN else ""
            yield DagDifference(bundle, file, dag, f"differs: {', '.join(where[:_SHOWN])}{more}")


def _places(one: Parsed) -> dict[str, str]:
    """The file of each Dag."""
    return {dag.dag: file.file for file in one.outcome.files for dag in file.dags}


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "can't be parsed"


def _paths(old: Any, new: Any, above: str = "") -> Iterator[str]:
    """The keys at which two JSON values differ, such as 'tasks[0].retries'."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                yield from _paths(old.get(key), new.get(key), f"{above}.{key}" if above else str(key))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            if one != other:
                yield from _paths(one, other, f"{above}[{index}]")
    else:
        yield above or "all of it"
