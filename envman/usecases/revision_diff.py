"""`envman diff --git`: the locks of a revision of the project's git, against those of the working tree."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envman.errors import EnvmanError, InterruptedByUserError, LockError, Problem
from envman.lock.changes import package_changes
from envman.lock.comparison import EnvironmentChange, EnvironmentStatus, compare_locks
from envman.lock.dev_lock import read_dev_lock
from envman.lock.lock_state import LockStatus, lock_state, read_lock_text
from envman.lock.lockfile import Lock, Pin, parse_lock, parse_pins, versions
from envman.lock.platforms import host_platform, lowest_python, marker_environment
from envman.packages.audit_report import Advisory
from envman.packages.pip_audit import Service, ask
from envman.spec.project import Environment
from envman.spec.revision import Revision, open_revision
from envman.spec.workspace import Workspace
from envman.system.events import Event, Report, Stage
from envman.usecases.package_facts import PackageFacts, Version, package_facts
from envman.uv.runner import Source, Uv

if TYPE_CHECKING:
    from envman.usecases.dag_diff import DagDifferences


@dataclass(frozen=True)
class RevisionDiffRequest:
    """What to compare with: a revision; `names` are environments, all where there is none.

    `source` is where wheels come from whose sizes and licenses are read. `dags`: parse them, too; `audit`:
    ask a vulnerability database, `server` in place of the public one.
    """

    revision: str
    names: tuple[str, ...]
    source: Source
    dags: bool = False
    audit: bool = False
    server: str | None = None


@dataclass(frozen=True)
class EnvironmentDifference:
    """An environment: its name before (empty: it is new), how many packages its lock pins, and by how many
    bytes what is installed on this machine grows; None: not known.
    """

    environment: str
    before: str
    status: EnvironmentStatus
    packages_before: int
    packages: int
    size_change: int | None
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class PackageRow:
    """A package whose versions differ, in which environments; sizes in bytes as installed on this machine."""

    package: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    environments: tuple[str, ...]
    old_size: int | None
    new_size: int | None
    old_license: str | None
    new_license: str | None


@dataclass(frozen=True)
class VulnerabilityRow:
    """A known vulnerability that comes with the new locks, or goes with the old ones."""

    package: str
    version: str
    id: str
    aliases: tuple[str, ...]
    fixed_in: tuple[str, ...]
    comes: bool


@dataclass(frozen=True)
class RevisionDiff:
    """How the locks of a revision and those of the working tree differ.

    `vulnerabilities` and `dags` are None where nobody has looked for them; `notes` say what could not be
    found out, and what else to know.
    """

    revision: str
    commit: str
    environments: tuple[EnvironmentDifference, ...]
    packages: tuple[PackageRow, ...]
    vulnerabilities: tuple[VulnerabilityRow, ...] | None
    dags: DagDifferences | None
    notes: tuple[str, ...]


def revision_diff(
    workspace: Workspace, request: RevisionDiffRequest, report: Report, on_line: Callable[[str], None]
) -> RevisionDiff:
    """Compare the locks of a revision with those of the working tree; `on_line` gets what Dags print.

    Raises UsageError for an unknown revision or environment, LockError where a lock of the working tree is
    missing or damaged; one of the revision that can't be read is told of.
    """
    revision = open_revision(workspace.project.directory, request.revision, workspace.processes)
    notes: list[str] = []
    if not revision.has_project:
        notes.append(f"there is no envman.toml in this folder in {revision.name}: all of it is new")
    old, unreadable = _old_locks(workspace, revision, notes)
    new = _new_locks(workspace)
    own = frozenset(one.name for lock in (*old.values(), *new.values()) for one in lock.sources)
    changes = compare_locks(old, new, unreadable)
    if request.names:
        known = {*(one.environment for one in changes), *(one.before for one in changes)}
        workspace.choose(sorted({*request.names} - known))
        changes = tuple(one for one in changes if {one.environment, one.before} & {*request.names})
    facts = _known(workspace, changes, own, _Asking(request.source, notes, report))
    packages = _package_rows(changes, facts)
    dags = None
    if request.dags:
        from envman.usecases.dag_diff import dag_differences  # what locks alone do not need

        dags = dag_differences(workspace, changes, report, on_line)
    for one in changes:
        if one.replaced:
            listed = ", ".join(one.replaced)
            notes.append(f"{one.environment}: files of {listed} have other hashes than the same version had")
        notes += _dev_note(workspace, revision, one)
    return RevisionDiff(
        revision=revision.name,
        commit=revision.commit,
        environments=tuple(_environment_row(one, facts) for one in changes),
        packages=packages,
        vulnerabilities=_vulnerabilities(
            workspace, [row for row in packages if row.package not in own], request, notes, report
        ),
        dags=dags,
        notes=tuple(notes),
    )


def _old_locks(
    workspace: Workspace, revision: Revision, notes: list[str]
) -> tuple[dict[str, Lock], list[str]]:
    """The locks of a revision, and the environments whose lock can't be read there."""
    found: dict[str, Lock] = {}
    unreadable: list[str] = []
    for name in sorted(revision.locks):
        file = f"environments/{name}.lock"
        text = revision.read_lock(name, workspace.processes)
        try:
            found[name] = parse_lock(text, file, name)
        except LockError as error:
            try:
                pins = parse_pins(text, file, name)
            except LockError:
                pins = ()
            why = f"{file} in {revision.name}: {error.problems[0].what}"
            if pins:
                found[name] = Lock(name, {}, pins)
                notes.append(f"{why}; its packages were read all the same")
            else:
                unreadable.append(name)
                notes.append(f"{why}; what changed in {name} is not known")
    return found, unreadable


def _new_locks(workspace: Workspace) -> dict[str, Lock]:
    """The locks of the working tree; raises LockError with the problems of all that can't be read."""
    found: dict[str, Lock] = {}
    problems: list[Problem] = []
    for environment in workspace.choose([]):
        state = lock_state(workspace, environment)
        if state.status in {LockStatus.MISSING, LockStatus.DAMAGED} and state.problem:
            problems.append(state.problem)
            continue
        text = read_lock_text(workspace, environment)
        found[environment.name] = parse_lock(text, environment.lock_file, environment.name)
    if problems:
        raise LockError(problems)
    return found


def _dev_note(workspace: Workspace, revision: Revision, one: EnvironmentChange) -> Iterator[str]:
    """What changed in the lock of an environment's dev overlay, of which nothing is built that runs."""
    name, older = one.environment, one.before or one.environment
    environment = workspace.project.environments.get(name)
    if environment is None:
        return
    file = environment.dev_lock_file
    before = revision.read_lock(older, workspace.processes, dev=True) if older in revision.dev_locks else ""
    try:
        after = read_dev_lock(workspace, environment)
        old, new = (parse_pins(text, file, name) for text in (before, after))
    except LockError:
        yield f"{name}: {file} differs, and one of the two can't be read"
        return
    if before == after or (one.status is EnvironmentStatus.RENAMED and old == new):
        return
    changes = package_changes(versions(old), versions(new))
    told = [f"{it.package} {', '.join(it.old) or '-'} -> {', '.join(it.new) or '-'}" for it in changes]
    more = f" and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    yield f"{name}: its dev overlay differs: {', '.join(told[:_SHOWN]) or 'inputs'}{more}"


@dataclass(frozen=True)
class _Known:
    """Facts of packages that changed; `installed` are those versions that this machine would install, by
    environment, of the old lock and of the new one.
    """

    facts: dict[Version, PackageFacts]
    installed: dict[str, tuple[set[Version], set[Version]]]

    def of(self, package: str, versions: Iterable[str]) -> PackageFacts | None:
        """What is known of that version which this machine installs."""
        found = (self.facts.get((package, version)) for version in versions)
        return next((facts for facts in found if facts), None)

    def size_change(self, environment: str) -> int | None:
        """By how much an environment grows; None where a size is not known."""
        before, after = (self._total(versions) for versions in self.installed[environment])
        return None if before is None or after is None else after - before

    def _total(self, versions: Iterable[Version]) -> int | None:
        sizes = [self.facts[version].size if version in self.facts else None for version in versions]
        return None if None in sizes else sum(size or 0 for size in sizes)


@dataclass(frozen=True)
class _Asking:
    """Where wheels are looked for, what could not be found out, and who is told of the work."""

    source: Source
    notes: list[str]
    report: Report


def _known(
    workspace: Workspace, changes: Iterable[EnvironmentChange], own: frozenset[str], asking: _Asking
) -> _Known:
    """Sizes and licenses of the packages that changed, as this machine installs them; no index is asked for
    code of one's own.
    """
    uv = Uv(workspace.processes, asking.source)
    known = _Known({}, {})
    for one in changes:
        names = {change.package for change in one.packages}
        python = _python(workspace.project.environments.get(one.environment))
        sides = [
            [pin for pin in pins if pin.name in names and _applies(pin, python)]
            for pins in (one.old, one.new)
        ]
        before, after = ({(pin.name, pin.version) for pin in pins} for pins in sides)
        known.installed[one.environment] = before, after
        for pins in sides:
            missing = [
                pin for pin in pins if pin.name not in own and (pin.name, pin.version) not in known.facts
            ]
            if missing:
                asking.report(Event(one.environment, Stage.CHECKING, f"sizes of {len(missing)} packages"))
                known.facts.update(package_facts(missing, python, uv))
    wanted = {version for sides in known.installed.values() for side in sides for version in side}
    if unknown := sorted(wanted - known.facts.keys()):
        listed = ", ".join(f"{name} {version}" for name, version in unknown[:_SHOWN])
        more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
        asking.notes.append(f"sizes and licenses are not known of {listed}{more}: no wheel could be had")
    return known


_SHOWN = 5


def _python(environment: Environment | None) -> str:
    """The Python whose wheels are looked at; of an environment that is gone, any that is usual."""
    return lowest_python(environment.requires_python if environment else ">=3.11")


def _applies(pin: Pin, python: str) -> bool:
    """Whether a pin is installed on this machine under a Python."""
    try:
        return pin.applies(marker_environment(host_platform(), python))
    except KeyError:  # a machine that no lock is for
        return not pin.marker


def _package_rows(changes: Iterable[EnvironmentChange], known: _Known) -> tuple[PackageRow, ...]:
    """Packages that changed in the same way, in all environments where they did."""
    users: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for one in changes:
        for change in one.packages:
            users.setdefault((change.package, change.old, change.new), []).append(one.environment)
    rows = []
    for (package, old, new), environments in sorted(users.items()):
        before, after = known.of(package, old), known.of(package, new)
        rows.append(
            PackageRow(
                package=package,
                old=old,
                new=new,
                environments=tuple(environments),
                old_size=before.size if before else None,
                new_size=after.size if after else None,
                old_license=before.license if before else None,
                new_license=after.license if after else None,
            )
        )
    return tuple(rows)


def _environment_row(one: EnvironmentChange, known: _Known) -> EnvironmentDifference:
    unreadable = one.status is EnvironmentStatus.UNREADABLE
    return EnvironmentDifference(
        environment=one.environment,
        before=one.before,
        status=one.status,
        packages_before=len({pin.name for pin in one.old}),
        packages=len({pin.name for pin in one.new}),
        size_change=None if unreadable else known.size_change(one.environment),
        inputs=one.inputs,
    )


def _vulnerabilities(
    workspace: Workspace,
    packages: Iterable[PackageRow],
    request: RevisionDiffRequest,
    notes: list[str],
    report: Report,
) -> tuple[VulnerabilityRow, ...] | None:
    """Those of versions that came and that went; None, with a note, where nobody could be asked."""
    if not request.audit:
        return None
    old = {(row.package, version) for row in packages for version in row.old}
    new = {(row.package, version) for row in packages for version in row.new}
    report(Event("audit", Stage.CHECKING, f"{len(old | new)} packages"))
    try:
        answer = ask(old | new, Service.OSV, request.server, (), workspace.processes, os.environ)
    except InterruptedByUserError:
        raise
    except EnvmanError as error:
        problem = error.problems[0]
        notes.append(f"known vulnerabilities were not looked up: {problem.where} {problem.what}")
        return None
    before = {(one.package, one.id) for one in answer.advisories if (one.package, one.version) in old}
    after = {(one.package, one.id) for one in answer.advisories if (one.package, one.version) in new}
    if answer.unknown:
        notes.append(f"the vulnerability database does not know: {', '.join(answer.unknown)}")
    return tuple(
        _vulnerability(one, (one.package, one.version) in new)
        for one in answer.advisories
        if (one.package, one.id) in before ^ after
    )


def _vulnerability(one: Advisory, comes: bool) -> VulnerabilityRow:
    return VulnerabilityRow(one.package, one.version, one.id, one.aliases, one.fixed_in, comes)
