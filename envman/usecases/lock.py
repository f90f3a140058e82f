"""`envman lock`: resolve environments side by side, keep the versions that are there, write locks whole."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envman.errors import LockError, Problem
from envman.lock.changes import PackageChange, package_changes, unfounded
from envman.lock.lock_state import (
    LockState,
    LockStatus,
    airflow_problems,
    check_locks,
    read_lock_text,
)
from envman.lock.lockfile import Lock, Pin, parse_header, parse_pins, render, versions
from envman.lock.platforms import lowest_python
from envman.lock.signatures import signature_file
from envman.lock.source_only import SourceOnly, source_only
from envman.spec.inputs import Inputs
from envman.spec.load import load_inputs, with_fetched
from envman.spec.project import Environment
from envman.spec.workspace import Workspace
from envman.system.events import Event, Report, Stage
from envman.system.files import write_atomic
from envman.system.side_by_side import Outcomes, side_by_side
from envman.uv.runner import Source, SourceNeededError, Upgrade, Uv

if TYPE_CHECKING:
    from envman.build.source_metadata import SourceMetadata


@dataclass(frozen=True)
class LockOutcome:
    """What became of one environment's lock.

    `resolved` is False where it answered its spec already, `first` is True where there was none before;
    `source_only` are packages without a wheel, as far as it was resolved.
    """

    environment: str
    file: str
    resolved: bool
    first: bool
    packages: int
    changes: tuple[PackageChange, ...]
    seconds: float
    source_only: tuple[SourceOnly, ...] = ()


@dataclass(frozen=True)
class LockOptions:
    """How to lock: what may change, from where, how many at once."""

    upgrade: Upgrade
    source: Source
    jobs: int


def lock(
    workspace: Workspace, names: Iterable[str], options: LockOptions, report: Report
) -> Outcomes[LockOutcome]:
    """Lock environments, all where none is named.

    An environment that can't be locked leaves its old lock and the other environments alone; its error is in
    the outcomes. Raises LockError if the locks do not agree on the task SDK of the deployment's Airflow.
    """
    environments = {environment.name: environment for environment in workspace.choose(names)}
    uv = Uv(workspace.processes, options.source)

    def work(name: str) -> LockOutcome:
        started = time.monotonic()
        environment = environments[name]
        report(Event(name, Stage.RESOLVING))
        text = read_lock_text(workspace, environment)
        old = _pins(text, environment)
        inputs, _ = load_inputs(workspace.files, environment, workspace.project.airflow_version)
        inputs = with_fetched(inputs, _fetched)
        previous = text if old else ""
        resolved = bool(options.upgrade) or not _answers(text, environment, inputs)
        pins, without_wheel = (
            _resolved(
                LockResolution(workspace, environment, uv, report, workspace.project.sandbox_required),
                inputs,
                previous,
                options.upgrade,
            )
            if resolved
            else (old, ())
        )
        rendered = render(Lock(name, inputs.digests(), pins), environment.file)
        if rendered != text:
            write_atomic(workspace.lock_path(environment), rendered)
            (workspace.files.directory / signature_file(environment.lock_file)).unlink(missing_ok=True)
        outcome = LockOutcome(
            environment=name,
            file=environment.lock_file,
            resolved=resolved,
            first=not old,
            packages=len(pins),
            changes=package_changes(versions(old), versions(pins)),
            seconds=time.monotonic() - started,
            source_only=without_wheel,
        )
        report(Event(name, Stage.DONE, _summary(outcome)))
        return outcome

    outcomes = side_by_side(environments, work, options.jobs, report)
    if problems := airflow_problems(workspace):
        raise LockError([*outcomes.problems(), *problems])
    return outcomes


def check_by_resolving(
    workspace: Workspace, names: Iterable[str], options: LockOptions, report: Report
) -> Outcomes[LockState]:
    """Whether each lock is what resolving gives, where its versions are kept as far as they fit.

    Whoever edits a lock by hand can make it answer its spec. Locks are left as they are. Whoever wrote them
    may be a stranger, so what only a build tells of a source is read in a sandbox, or it is an error. Raises
    LockError if they disagree about the deployment's Airflow.
    """
    states = {state.environment: state for state in check_locks(workspace, names)}
    environments = {environment.name: environment for environment in workspace.choose(states)}
    uv = Uv(workspace.processes, options.source)

    def work(name: str) -> LockState:
        state, environment = states[name], environments[name]
        if state.status is not LockStatus.FRESH:
            return state
        report(Event(name, Stage.RESOLVING))
        text = read_lock_text(workspace, environment)
        pins = parse_pins(text, environment.lock_file, name)
        inputs, _ = load_inputs(workspace.files, environment, workspace.project.airflow_version)
        inputs = with_fetched(inputs, _fetched)
        if _answers(text, environment, inputs):
            wanted = "".join(
                f"{pin.name}=={pin.version}{pin.marker and f' ; {pin.marker}'}\n" for pin in pins
            )
            resolution = LockResolution(workspace, environment, uv, report, sandbox_required=True)
            resolved = parse_pins(
                resolved_text(resolution, inputs, wanted, Upgrade()), environment.lock_file, name
            )
            wrong = list(unfounded(pins, resolved))
        else:
            wrong = ["what a constraints URL leads to was changed"]
        report(Event(name, Stage.DONE, f"{len(pins)} packages"))
        if not wrong:
            return state
        what = f"is not what resolving {environment.file} gives: {'; '.join(wrong[:_SHOWN])}"
        remedy = f"Find out who changed it; remove it, and run: envman lock {name}"
        problem = Problem(environment.lock_file, what, remedy)
        return LockState(name, environment.lock_file, LockStatus.EDITED, problem)

    return side_by_side(environments, work, options.jobs, report)


_SHOWN = 10


def _fetched(url: str) -> str:
    from envman.system.remote import fetch_text  # HTTP, which only the URL of a constraints file needs

    return fetch_text(url)


@dataclass(frozen=True)
class LockResolution:
    """Whose requirements are resolved, by what, and whether sources run in a sandbox only."""

    workspace: Workspace
    environment: Environment
    uv: Uv
    report: Report
    sandbox_required: bool


def _resolved(
    resolution: LockResolution, inputs: Inputs, previous: str, upgrade: Upgrade
) -> tuple[tuple[Pin, ...], tuple[SourceOnly, ...]]:
    """The pins, and those of them that have no wheel."""
    uv = resolution.uv
    text = resolved_text(resolution, inputs, previous, upgrade)
    pins = parse_pins(text, f"what uv resolved for '{inputs.environment}'", inputs.environment)
    files = uv.files_of(text, inputs.requires_python)
    return pins, source_only(files, inputs.platforms, lowest_python(inputs.requires_python))


def resolved_text(resolution: LockResolution, inputs: Inputs, previous: str, upgrade: Upgrade) -> str:
    """What uv resolves, which is told what it would have to build sources for, one after the other."""
    reader: SourceMetadata | None = None
    with ExitStack() as stack:
        while True:
            try:
                return resolution.uv.resolve(inputs, previous, upgrade, reader.known if reader else ())
            except SourceNeededError as needed:
                reader = reader or stack.enter_context(_reader(resolution, inputs))
                reader.read(needed.package, needed.version)


def _reader(resolution: LockResolution, inputs: Inputs) -> AbstractContextManager[SourceMetadata]:
    """What reads the metadata of sources; raises BuildError where no interpreter fits the environment."""
    from envman.build.machine import ThisMachine  # which only a source needs
    from envman.build.source_builds import SourceOptions, SourceTools
    from envman.build.source_metadata import source_metadata
    from envman.uv.indexes import places_of_files

    workspace, environment, machine = resolution.workspace, resolution.environment, ThisMachine()
    source, caches = resolution.uv.source, (machine.cache, resolution.uv.cache_folder())
    hidden = [workspace.project.root, workspace.project.directory, source.wheelhouse or ""]
    hidden += [str(cache) for cache in caches if cache]
    options = SourceOptions(
        environment=environment.name,
        interpreter=machine.choose(environment),
        network=environment.build_network,
        variables=environment.build_variables,
        hidden=(*hidden, *places_of_files(os.environ, source.config)),
        sandbox_required=resolution.sandbox_required,
    )
    tools = SourceTools(workspace.processes, resolution.uv, machine, resolution.report)
    return source_metadata(options, tools, inputs.requires_python)


def _pins(text: str, environment: Environment) -> tuple[Pin, ...]:
    """The pins of the lock that is there, none where it can't be read: locking is what mends it."""
    try:
        return parse_pins(text, environment.lock_file, environment.name)
    except LockError:
        return ()


def _answers(text: str, environment: Environment, inputs: Inputs) -> bool:
    try:
        header = parse_header(text, environment.lock_file, environment.name)
    except LockError:
        return False
    return header.inputs == inputs.digests()


def _summary(outcome: LockOutcome) -> str:
    if not outcome.resolved:
        return f"answers its spec already, {outcome.packages} packages"
    return f"{outcome.packages} packages, {len(outcome.changes)} changed"
