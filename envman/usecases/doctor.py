"""`envman doctor`: check a whole deployment from the outside, and fail where anything is wrong."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from envman.deployment.credential_access import credential_access
from envman.deployment.environment_script import Inside, inside_environment, without_database
from envman.deployment.facts import CORE, Database, Facts, Probed, TeamTriggers
from envman.deployment.finding import Finding, Level
from envman.deployment.findings import CHECKS, judge
from envman.deployment.gathering import (
    changes,
    configured,
    confined,
    environment_facts,
    exposed,
    shared_folders_missed,
    variables_kept_back,
    variables_not_handed_on,
)
from envman.errors import EnvmanError, Problem, ResolveError
from envman.inside.protocol import RUN
from envman.launch.airflow_configuration import AirflowConfiguration
from envman.launch.components import airflows_python
from envman.launch.purpose import purpose_of_environment
from envman.lock.lock_state import airflow_problems
from envman.signing.policy_file import policy_file
from envman.spec.workspace import Workspace
from envman.store.folder import Store
from envman.store.root import take_snapshot
from envman.store.sealing import refusals
from envman.system.events import silent
from envman.system.processes import Processes
from envman.system.side_by_side import default_jobs, side_by_side

if TYPE_CHECKING:
    from envman.inside.reports import DatabaseReport, ImportsReport, ImportsRequest, ProbeReport, ProbeRequest

SCRIPT = (RUN, "probe")
PRELOAD_SCRIPT = (RUN, "imports")
TIMEOUT = 120.0
"""Seconds that an interpreter has to import Airflow and answer."""


@dataclass(frozen=True)
class DoctorRequest:
    """What to look at beside what is always looked at.

    `airflow` is the components' interpreter; `database`: ask Airflow's; `verify`: read every file.
    """

    airflow: str | None = None
    database: bool = False
    verify: bool = False


@dataclass(frozen=True)
class DoctorOutcome:
    """What was found, what was looked at, and what was not."""

    root: str
    findings: tuple[Finding, ...]
    checks: tuple[str, ...]
    not_asked: tuple[str, ...]
    environments: int
    bundles: int

    def errors(self) -> list[Finding]:
        """The findings for which the doctor fails."""
        return [finding for finding in self.findings if finding.level is Level.ERROR]


class Doctor:
    """One visit: the root, its table, the caller's variables, and the children that are started."""

    def __init__(self, store: Store, environ: Mapping[str, str], processes: Processes) -> None:
        self.store = store
        self.environ = environ
        self.configuration = AirflowConfiguration(environ)
        self.snapshot = take_snapshot(store.root, self.configuration.bundles)
        self.table = self.snapshot.table
        self._processes = processes

    def visit(self, workspace: Workspace | None, request: DoctorRequest) -> DoctorOutcome:
        """Gather facts and judge them; raises SpecError where Airflow's configuration can't be read."""
        facts = self._gather(workspace, request)
        not_asked = [] if request.database else ["Airflow's database, for triggerers and queues: --database"]
        not_asked += [] if request.verify else ["the content of every file: --verify"]
        not_asked += [] if workspace else ["specs and locks, as there is no project here: --project"]
        return DoctorOutcome(
            root=self.store.root,
            findings=judge(facts),
            checks=tuple(CHECKS),
            not_asked=tuple(not_asked),
            environments=len(facts.environments),
            bundles=len(facts.airflow.bundles.teams),
        )

    def _gather(self, workspace: Workspace | None, request: DoctorRequest) -> Facts:
        environments, problems = environment_facts(self.store, self.table, workspace, request.verify)
        problems += airflow_problems(workspace) if workspace else []
        if policy := policy_file(self.environ):
            whole = ((item.name, item.generation or "") for item in environments if item.whole)
            problems += refusals(self.store, whole, policy)
        facts = Facts(
            root=self.store.root,
            table=self.table,
            airflow=configured(self.configuration),
            environments=environments,
            airflow_version=workspace.project.airflow_version if workspace else None,
            changes=changes(self.table, workspace) if workspace else (),
            exposed=tuple(exposed(self.store, environments)),
            policy=policy or "",
            has_pythonpath=bool(self.environ.get("PYTHONPATH")),
            credentials=tuple(credential_access(self.store, self.table)),
            kept_back=tuple(variables_kept_back(self.snapshot, self.configuration, self.environ)),
            unshared=tuple(shared_folders_missed(self.snapshot, self.configuration, self.store)),
            not_handed_on=variables_not_handed_on(self.snapshot, self.environ),
        )
        try:
            facts = replace(facts, confined=confined(self.store, self.table, self.environ, self._processes))
        except EnvmanError as error:
            problems += error.problems
        with tempfile.TemporaryDirectory(prefix="envman-doctor-") as home:
            Path(home).chmod(0o711)  # for the environments' users
            probes = self._probe_environments(facts, home)
            components, database = self._probe_components(facts, request, home)
        if request.database and components is None:
            remedy = "Set airflow-environment in envman.toml, or pass --airflow PYTHON."
            what = "the interpreter of Airflow's components is not known, so its database can't be asked"
            problems.append(Problem("--database", what, remedy))
        return replace(
            facts, probes=probes, components=components, database=database, problems=tuple(problems)
        )

    def _probe_environments(self, facts: Facts, home: str) -> dict[str, Probed]:
        """Ask every environment that runs bundles for their classes."""
        whole = {item.name for item in facts.environments if item.whole}
        classes: dict[str, list[str]] = {}
        for bundle, environment in facts.snapshot.answers().environments.items():
            if environment in whole:
                classes.setdefault(environment, []).extend(facts.airflow.classes.get(bundle, ()))

        def work(name: str) -> tuple[str, Probed]:
            with self._inside(name, home) as inside:
                probed = self._ask(name, inside, classes[name], database=False)[0]
                return name, self._ask_preload(name, inside, probed)

        outcomes = side_by_side(classes, work, default_jobs(), silent)
        failed = {name: Probed(name, problem=error.problems[0]) for name, error in outcomes.errors.items()}
        return {**dict(outcomes.results), **failed}

    def _ask_preload(self, name: str, inside: Inside, probed: Probed) -> Probed:
        """Try out what the environment's fork server is to import beforehand."""
        modules = self.table.preload(name)
        if not modules or not self.table.is_warm(name) or CORE not in probed.packages:
            return probed
        asked: ImportsRequest = {"folders": [], "modules": modules, "measure": False}
        answer: ImportsReport = inside.ask(self._processes, PRELOAD_SCRIPT, asked, timeout=TIMEOUT)
        return replace(probed, preload={item["module"]: item["problem"] for item in answer["modules"]})

    def _probe_components(
        self, facts: Facts, request: DoctorRequest, home: str
    ) -> tuple[Probed | None, Database | None]:
        classes = [path for paths in facts.airflow.classes.values() for path in paths]
        try:
            with self._components(request, home) as (where, inside):
                found, database = self._ask(where, inside, classes, request.database)
                return found, _database(database) if database else None
        except ResolveError as error:
            if request.airflow or self.table.components():
                return Probed("components", problem=error.problems[0]), None
            return None, None
        except EnvmanError as error:
            return Probed("components", problem=error.problems[0]), None

    @contextmanager
    def _components(self, request: DoctorRequest, home: str) -> Iterator[tuple[str, Inside]]:
        """The components' interpreter; it has the deployment's own variables if its database is asked."""
        name = self.table.components()
        if name and not request.airflow:
            with self._inside(name, home, "components") as inside:
                variables = dict(self.environ) if request.database else inside.variables
                yield name, replace(inside, where="components", variables=variables)
            return
        python = request.airflow or airflows_python(self.environ.get("PATH", ""))
        home = str(_made(home, "components"))
        variables = dict(self.environ) if request.database else without_database(self.environ, home)
        yield python, Inside("components", "components", python, variables)

    @contextmanager
    def _inside(self, name: str, home: str, folder: str = "") -> Iterator[Inside]:
        """An environment's interpreter, with a folder of its own to write into."""
        purpose = purpose_of_environment(self.snapshot, name, self.environ)
        made = str(_made(home, folder or f"of-{name}"))
        with inside_environment(self.snapshot, purpose, self.environ, made) as inside:
            yield inside

    def _ask(
        self, where: str, inside: Inside, classes: list[str], database: bool
    ) -> tuple[Probed, DatabaseReport | None]:
        asked: ProbeRequest = {
            "classpaths": sorted({*classes}),
            "database": database,
        }
        answer: ProbeReport = inside.ask(self._processes, SCRIPT, asked, timeout=TIMEOUT)
        plugins = answer["plugins"]
        probed = Probed(
            where,
            answer["packages"],
            answer["classes"],
            plugins=plugins["errors"],
            registered=tuple(plugins["registered"]),
            pods=answer["pods"],
        )
        return probed, answer["database"]


def _made(home: str, name: str) -> Path:
    folder = Path(home, name)
    folder.mkdir()
    return folder


def _database(answer: DatabaseReport) -> Database:
    return Database(
        queues=tuple((item["bundle"], item["queue"]) for item in answer["queues"]),
        triggerers=answer["triggerers"],
        triggers=tuple(TeamTriggers(**item) for item in answer["triggers"]),
    )


def doctor(
    store: Store,
    workspace: Workspace | None,
    request: DoctorRequest,
    environ: Mapping[str, str],
    processes: Processes,
) -> DoctorOutcome:
    """Check a deployment; raises ResolveError where nothing is published, SpecError, StoreError."""
    return Doctor(store, environ, processes).visit(workspace, request)
