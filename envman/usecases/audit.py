"""`envman audit`: known vulnerabilities of what is locked, and which environments and bundles they hit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from envman.errors import LockError, Problem
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.lock.lock_state import read_lock_text
from envman.lock.lockfile import parse_lock
from envman.packages.audit_report import Advisory, Pinned
from envman.packages.pip_audit import Service, ask
from envman.resolver.snapshot import Snapshot
from envman.resolver.table import Table
from envman.spec.project import Environment
from envman.spec.workspace import Workspace
from envman.system.events import Event, Report, Stage


@dataclass(frozen=True)
class AuditOptions:
    """Whom to ask, and what not to be told again; `server` speaks the OSV API in place of the public one."""

    service: Service = Service.OSV
    server: str | None = None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hit(Advisory):
    """A vulnerability of a locked package, and what it hits."""

    environments: tuple[str, ...]
    bundles: tuple[str, ...]


@dataclass(frozen=True)
class AuditOutcome:
    """What was asked and what was found.

    `packages` counts distinct names and versions. `unknown` are names that the database has never heard of:
    of a company's own packages nobody publishes advisories.
    """

    service: str
    environments: tuple[str, ...]
    packages: int
    findings: tuple[Hit, ...]
    unknown: tuple[str, ...]


def audit(
    workspace: Workspace,
    names: Iterable[str],
    options: AuditOptions,
    environ: Mapping[str, str],
    report: Report,
) -> AuditOutcome:
    """Ask a vulnerability database about the locks of environments; all where none is named.

    Every package is asked about once, with every version that a lock holds for any platform; but those that
    come from the project's own sources, whose names are nobody's business. Nothing has to be built. Raises
    UsageError, LockError, and EnvmanError where the database gives no answer.
    """
    chosen = workspace.choose(names)
    users = _users(workspace, chosen)
    report(Event("audit", Stage.CHECKING, f"{len(users)} packages of {len(chosen)} environments"))
    answer = ask(users.keys(), options.service, options.server, options.ignored, workspace.processes, environ)
    snapshot = Snapshot(
        workspace.project.root, Table(workspace.table()), AirflowConfiguration(environ).bundles
    )
    bundles = snapshot.answers().by_environment()
    report(Event("audit", Stage.DONE, f"{len(users)} packages asked about"))
    return AuditOutcome(
        service=options.service.value,
        environments=tuple(environment.name for environment in chosen),
        packages=len(users),
        findings=tuple(
            _finding(advisory, users[advisory.package, advisory.version], bundles)
            for advisory in answer.advisories
        ),
        unknown=answer.unknown,
    )


def _users(workspace: Workspace, environments: Sequence[Environment]) -> dict[Pinned, list[str]]:
    """The environments whose locks hold each package; raises LockError with the problems of all of them."""
    users: dict[Pinned, list[str]] = {}
    problems: list[Problem] = []
    for environment in environments:
        name, file = environment.name, environment.lock_file
        text = read_lock_text(workspace, environment)
        if not text:
            what = f"the environment '{name}' has no lock"
            problems.append(Problem(file, what, f"Run: envman lock {name}"))
            continue
        try:
            pins = parse_lock(text, file, name).indexed()
        except LockError as error:
            problems += error.problems
            continue
        for pinned in {(pin.name, pin.version) for pin in pins}:
            users.setdefault(pinned, []).append(name)
    if problems:
        raise LockError(problems)
    return users


def _finding(advisory: Advisory, environments: list[str], bundles: Mapping[str, Sequence[str]]) -> Hit:
    return Hit(
        **vars(advisory),
        environments=tuple(sorted(environments)),
        bundles=tuple(sorted({bundle for name in environments for bundle in bundles.get(name, ())})),
    )
