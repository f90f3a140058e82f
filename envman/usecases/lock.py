"""`envman lock`: resolve environments side by side, keep the versions that are there, write locks whole."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from packaging.requirements import InvalidRequirement
from packaging.utils import canonicalize_name

from envman.errors import LockError, Problem, UnsatisfiableError, UsageError
from envman.lock.changes import PackageChange, package_changes, unfounded
from envman.lock.dev_lock import dev_inputs, read_dev_lock
from envman.lock.lock_state import (
    LockState,
    LockStatus,
    airflow_problems,
    check_locks,
    read_lock_text,
)
from envman.lock.lockfile import Lock, Pin, parse_lock, parse_pins, pins_text, render, versions
from envman.lock.signatures import signature_file
from envman.lock.source_only import SourceOnly
from envman.spec.inputs import Inputs
from envman.spec.load import with_fetched
from envman.spec.project import Environment
from envman.spec.requirement_text import parse_requirement
from envman.spec.workspace import Workspace
from envman.system.events import Event, Report, Stage
from envman.system.files import write_atomic
from envman.system.side_by_side import Outcomes, side_by_side
from envman.usecases.resolving import LockResolution, bare, resolved_dev, resolved_lock
from envman.uv.runner import Source, Upgrade, Uv


@dataclass(frozen=True)
class LockOutcome:
    """What became of one environment's lock.

    `resolved` is False where it answered its spec already, `first` is True where there was none before;
    `source_only` are packages without a wheel, as far as it was resolved; `dev_packages` is the number of
    packages that its dev overlay adds, `dev_changes` what its lock changed.
    """

    environment: str
    file: str
    resolved: bool
    first: bool
    packages: int
    changes: tuple[PackageChange, ...]
    seconds: float
    source_only: tuple[SourceOnly, ...] = ()
    dev_packages: int = 0
    dev_changes: tuple[PackageChange, ...] = ()


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
    the outcomes. Raises LockError if the locks do not agree on the task SDK of the deployment's Airflow,
    UsageError for a package to upgrade that has no package's name.
    """
    environments = {environment.name: environment for environment in workspace.choose(names)}
    uv = Uv(workspace.processes, options.source)
    wanted, known = _upgraded(options.upgrade), set[str]()

    def work(name: str) -> LockOutcome:
        started = time.monotonic()
        environment = environments[name]
        report(Event(name, Stage.RESOLVING))
        text = read_lock_text(workspace, environment)
        old = _there(text, environment)
        inputs = with_fetched(workspace.inputs(environment), _fetched)
        resolved = bool(options.upgrade) or old.inputs != inputs.digests()
        new: Lock = old
        without_wheel: tuple[SourceOnly, ...] = ()
        resolution = LockResolution(workspace, environment, uv, report, workspace.project.sandbox_required)
        if resolved:
            new, without_wheel = resolved_lock(resolution, inputs, old, options.upgrade)
        pins = new.pins
        rendered = render(new, environment.file)
        if rendered != text:
            write_atomic(workspace.lock_path(environment), rendered)
            (workspace.files.directory / signature_file(environment.lock_file)).unlink(missing_ok=True)
        dev, dev_changes = _lock_dev(resolution, inputs, new, options.upgrade)
        known.update(pin.name for pin in (*old.pins, *pins, *dev))
        outcome = LockOutcome(
            environment=name,
            file=environment.lock_file,
            resolved=resolved,
            first=not old.pins,
            packages=len(pins),
            changes=package_changes(versions(old.pins), versions(pins)),
            seconds=time.monotonic() - started,
            source_only=without_wheel,
            dev_packages=len(dev),
            dev_changes=dev_changes,
        )
        report(Event(name, Stage.DONE, _summary(outcome)))
        return outcome

    outcomes = side_by_side(environments, work, options.jobs, report)
    for package in () if outcomes.errors else sorted(wanted - known):
        report(Event(package, Stage.DONE, "no lock has this package: nothing to upgrade", warning=True))
    if problems := airflow_problems(workspace):
        raise LockError([*outcomes.problems(), *problems])
    return outcomes


def _upgraded(upgrade: Upgrade) -> set[str]:
    """The names of packages that are to be upgraded; raises UsageError for what is none."""
    names: set[str] = set()
    for text in upgrade.packages:
        try:
            names.add(canonicalize_name(parse_requirement(text).name))
        except InvalidRequirement:
            what = "is not the name of a package"
            raise UsageError(Problem(f"-P {text}", what, "Write one such as: -P pandas")) from None
    return names


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
        lock = parse_lock(text, environment.lock_file, name)
        pins = lock.pins
        inputs = with_fetched(workspace.inputs(environment), _fetched)
        file, asks = environment.lock_file, environment.file
        if lock.inputs == inputs.digests():
            resolution = LockResolution(workspace, environment, uv, report, sandbox_required=True)
            resolved, _ = resolved_lock(resolution, inputs, lock, Upgrade(), believed=False)
            wrong = list(unfounded(pins, resolved.pins))
            if not wrong and environment.dev:
                file, asks = environment.dev_lock_file, f"[dev] of {environment.file}"
                wrong = list(_unfounded_of_dev(resolution, inputs, lock))
        else:
            wrong = ["what a constraints URL leads to was changed"]
        report(Event(name, Stage.DONE, f"{len(pins)} packages"))
        if not wrong:
            return state
        what = f"is not what resolving {asks} gives: {'; '.join(wrong[:_SHOWN])}"
        problem = Problem(file, what, f"Find out who changed it; remove it, and run: envman lock {name}")
        return LockState(name, file, LockStatus.EDITED, problem)

    return side_by_side(environments, work, options.jobs, report)


_SHOWN = 10


def _fetched(url: str) -> str:
    from envman.system.remote import fetch_text  # HTTP, which only the URL of a constraints file needs

    return fetch_text(url)


def _lock_dev(
    resolution: LockResolution, of_lock: Inputs, lock: Lock, upgrade: Upgrade
) -> tuple[tuple[Pin, ...], tuple[PackageChange, ...]]:
    """Lock the dev overlay over the environment's lock, unless its own is up to date; returns what it adds,
    and what changed. The lock of one that is no longer declared is removed.

    No index is asked for the project's own sources here either: a tool may need one of them.
    """
    workspace, environment = resolution.workspace, resolution.environment
    path = workspace.files.directory / environment.dev_lock_file
    try:
        text = read_dev_lock(workspace, environment)
    except LockError:
        text = ""
    old = _there(text, environment)
    if not environment.dev:
        path.unlink(missing_ok=True)
        return (), package_changes(versions(old.pins), {})
    inputs = dev_inputs(environment, lock.pins)
    if old.inputs == inputs.digests() and not upgrade:
        return old.pins, ()
    try:
        new = resolved_dev(resolution, of_lock, lock, (pins_text(old.pins), upgrade))
    except UnsatisfiableError as error:
        what = f"does not fit what {environment.lock_file} holds: {error.problems[0].what}"
        remedy = "Ask for other versions in [dev], or upgrade the environment: envman lock -P PACKAGE"
        raise UnsatisfiableError(Problem(f"{environment.file}: dev.dependencies", what, remedy)) from None
    write_atomic(path, render(Lock(environment.name, inputs.digests(), new), environment.file))
    return new, package_changes(versions(old.pins), versions(new))


def _unfounded_of_dev(resolution: LockResolution, of_lock: Inputs, lock: Lock) -> Iterator[str]:
    """What the lock of the dev overlay holds that resolving does not give; nothing of one that is out of
    date, or can't be read: that is told anyway.
    """
    environment = resolution.environment
    try:
        text = read_dev_lock(resolution.workspace, environment)
        there = parse_lock(text, environment.dev_lock_file, environment.name)
    except LockError:
        return
    if there.inputs == dev_inputs(environment, lock.pins).digests():
        kept = bare(there.pins), Upgrade()
        yield from unfounded(there.pins, resolved_dev(resolution, of_lock, lock, kept))


def _there(text: str, environment: Environment) -> Lock:
    """The lock that is there, an empty one where it can't be read: locking is what mends it.

    Pins are taken from under a header that can't be read, too.
    """
    file, name = environment.lock_file, environment.name
    try:
        return parse_lock(text, file, name)
    except LockError:
        pass
    try:
        return Lock(name, {}, parse_pins(text, file, name))
    except LockError:
        return Lock(name, {}, ())


def _summary(outcome: LockOutcome) -> str:
    dev = f"; {outcome.dev_packages} more in its dev overlay" if outcome.dev_packages else ""
    if outcome.dev_changes:
        dev = f"; {outcome.dev_packages} more in its dev overlay, {len(outcome.dev_changes)} changed"
    if not outcome.resolved:
        return f"answers its spec already, {outcome.packages} packages{dev}"
    return f"{outcome.packages} packages, {len(outcome.changes)} changed{dev}"
