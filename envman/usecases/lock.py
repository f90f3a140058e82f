"""`envman lock`: resolve environments side by side, keep the versions that are there, write locks whole."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from envman.errors import LockError
from envman.files import write_atomic
from envman.lock.changes import PackageChange, package_changes
from envman.lock.inputs import Inputs
from envman.lock.lockfile import Lock, Pin, parse_header, parse_pins, render, versions
from envman.project import load_inputs, with_fetched
from envman.remote import fetch_text
from envman.spec.project import Environment
from envman.usecases.events import Event, Report, Stage
from envman.usecases.lock_state import airflow_problems, read_lock_text
from envman.usecases.side_by_side import Outcomes, side_by_side
from envman.usecases.workspace import Workspace
from envman.uv.runner import Source, Upgrade, Uv


@dataclass(frozen=True)
class LockOutcome:
    """What became of one environment's lock.

    `resolved` is False where it answered its spec already, `first` is True where there was none before.
    """

    environment: str
    file: str
    resolved: bool
    first: bool
    packages: int
    changes: tuple[PackageChange, ...]
    seconds: float


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
        inputs = with_fetched(inputs, fetch_text)
        resolved = bool(options.upgrade) or not _answers(text, environment, inputs)
        pins = _resolved(uv, inputs, text if old else "", options.upgrade) if resolved else old
        rendered = render(Lock(name, inputs.digests(), pins), environment.file)
        if rendered != text:
            write_atomic(workspace.lock_path(environment), rendered)
        outcome = LockOutcome(
            environment=name,
            file=environment.lock_file,
            resolved=resolved,
            first=not old,
            packages=len(pins),
            changes=package_changes(versions(old), versions(pins)),
            seconds=time.monotonic() - started,
        )
        report(Event(name, Stage.DONE, _summary(outcome)))
        return outcome

    outcomes = side_by_side(environments, work, workspace.processes, options.jobs, report)
    if problems := airflow_problems(workspace):
        raise LockError([*outcomes.problems(), *problems])
    return outcomes


def _resolved(uv: Uv, inputs: Inputs, previous: str, upgrade: Upgrade) -> tuple[Pin, ...]:
    text = uv.resolve(inputs, previous, upgrade)
    return parse_pins(text, f"what uv resolved for '{inputs.environment}'", inputs.environment)


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
