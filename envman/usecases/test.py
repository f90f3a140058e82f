"""`envman test`: what a bundle's own tests, or one Dag of it, need to run in its environment."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envman.build.overlay import Overlay, dev_overlay, overlay_tools
from envman.deployment.environment_script import Inside
from envman.deployment.thrown_away import QUIET, make_database, thrown_away_variables, without_a_deployment
from envman.errors import Problem, UsageError
from envman.inside.protocol import RUN
from envman.launch.process import Addition, check_held, hold_generation
from envman.resolver.snapshot import Snapshot
from envman.resolver.variables import NO_BYTECODE, child_environment
from envman.spec.workspace import Workspace
from envman.store import layout
from envman.store.folder import Store
from envman.system.events import Report
from envman.system.processes import Processes
from envman.uv.runner import Source

if TYPE_CHECKING:
    from envman.inside.reports import DagRunReport, DagRunRequest, TestsRequest

PYTEST = "pytest"
CORE = "apache-airflow-core"
TEST_FILES = ("test_*.py", "*_test.py")


@dataclass(frozen=True)
class TestedBundle:
    """A bundle: its name, its folder, absolute, and its environment with the current generation."""

    name: str
    path: str
    environment: str
    generation: str


@dataclass(frozen=True)
class DagRequest:
    """Which Dag to run, or which task of it; files with Connections and Variables."""

    dag: str
    task: str | None = None
    conf: Mapping[str, Any] | None = None
    connections: Path | None = None
    variables: Path | None = None


@dataclass(frozen=True)
class TriedTask:
    """How a task instance ended; `index` is -1 for one that is not mapped."""

    task: str
    index: int
    state: str
    seconds: float | None


@dataclass(frozen=True)
class DagOutcome:
    """How a Dag run ended, and each of its tasks, or the one that was asked for."""

    bundle: str
    path: str
    environment: str
    generation: str
    dag: str
    state: str
    tasks: tuple[TriedTask, ...]

    def problems(self, only: str | None = None) -> list[Problem]:
        """Tasks that did not succeed, and a run that did not; of `only` one task, why that did not."""
        wrong = [task for task in self.tasks if task.state not in {"success", "skipped"}]
        found = [
            Problem(f"task '{_name(task)}'", f"ended as {task.state}", _remedy(task, only)) for task in wrong
        ]
        if only is not None and not found and not any(one.state == "success" for one in self.tasks):
            found = [Problem(f"task '{only}'", "did not run", _ALONE)]
        if only is None and not found and self.state != "success":
            found = [Problem(f"Dag '{self.dag}'", f"its run ended as {self.state or 'nothing'}", _LOG)]
        return found


_LOG = "What it said stands above."
_ALONE = (
    "With --task all other tasks count as successful, and none has returned anything: if it needs what they "
    "return, or their failure, run the whole Dag."
)


def _remedy(task: TriedTask, only: str | None) -> str:
    return _ALONE if only is not None and task.state == "upstream_failed" else _LOG


def _name(task: TriedTask) -> str:
    return task.task if task.index < 0 else f"{task.task}[{task.index}]"


def tested_bundle(snapshot: Snapshot, bundle: str, folder: str) -> TestedBundle:
    """A bundle with its folder and environment; raises UsageError for a folder that is none, ResolveError."""
    path = os.path.realpath(folder)
    if not Path(path).is_dir():
        what = f"its folder is not there: {path}"
        raise UsageError(Problem(f"bundle '{bundle}'", what, "Pass the folder of its Dags: --path DIR"))
    environment = snapshot.resolve(bundle).environment
    return TestedBundle(bundle, path, environment, snapshot.generation(environment))


def overlay_with_pytest(
    workspace: Workspace | None, store: Store, tested: TestedBundle, source: Source | None, report: Report
) -> tuple[Overlay | None, bool]:
    """The environment's dev overlay, None where it declares none; and whether pytest is there."""
    declared = workspace.project.environments.get(tested.environment) if workspace else None
    manifest = store.current_manifest(tested.environment)
    if workspace is None or source is None or declared is None or not declared.dev:
        return None, PYTEST in manifest.packages
    overlay = dev_overlay(workspace, declared, store, overlay_tools(workspace, source), report)
    overlay.check_below(tested.generation)
    names = {package.partition(" ")[0] for package in overlay.packages}
    return overlay, PYTEST in names or PYTEST in manifest.packages


def has_airflow(store: Store, tested: TestedBundle) -> bool:
    """Whether Dags can be parsed in a bundle's environment."""
    return CORE in store.current_manifest(tested.environment).packages


def has_tests(folder: str) -> bool:
    """Whether a folder has files that pytest takes for tests."""
    return any(True for pattern in TEST_FILES for _ in Path(folder).rglob(pattern))


def no_pytest(tested: TestedBundle) -> UsageError:
    """What is said where a bundle has tests and its environment no pytest."""
    what = "neither its lock nor its [dev] has pytest"
    remedy = f"Run: envman add {tested.environment} pytest --dev"
    return UsageError(Problem(f"environment '{tested.environment}'", what, remedy))


def prepared_tests(
    snapshot: Snapshot,
    tested: TestedBundle,
    overlay: Overlay | None,
    arguments: list[str],
    processes: Processes,
) -> tuple[list[str], Addition]:
    """The command that runs a bundle's tests, and what it gets besides; its home is there already.

    The command removes that home when it ends.
    """
    store = Store(snapshot.root)
    home = tempfile.mkdtemp(prefix="envman-test-")
    variables = thrown_away_variables(home, tested.name, tested.path)
    if has_airflow(store, tested):
        generation, descriptor = hold_generation(snapshot, tested.environment)
        try:
            check_held(snapshot.root, tested.environment, generation, descriptor, with_files=True)
            migrating = {**without_a_deployment(os.environ), **variables, **NO_BYTECODE}
            make_database(store, generation, Path(home), migrating, processes)
        except BaseException:
            shutil.rmtree(home, ignore_errors=True)
            raise
        finally:
            os.close(descriptor)
    request: TestsRequest = {
        "home": home,
        "path": tested.path,
        "shared": snapshot.table.shared(tested.name),
        "arguments": arguments,
    }
    folder = overlay.folder if overlay else ""
    words = ["python", RUN, "bundle_tests", json.dumps(request)]
    return words, Addition("test", {**variables, **NO_BYTECODE}, overlay=folder, is_a_test=True)


def try_dag(
    snapshot: Snapshot,
    store: Store,
    tested: TestedBundle,
    request: DagRequest,
    processes: Processes,
    on_line: Callable[[str], None],
) -> DagOutcome:
    """Run a Dag, or one task of it, once; `on_line` gets what is printed.

    Raises UsageError for a Dag, task or file that isn't there, InsideError where it can't be run.
    """
    if not has_airflow(store, tested):
        what = "it has no Airflow, so that no Dag runs in it"
        raise UsageError(Problem(f"environment '{tested.environment}'", what, "Name another bundle."))
    generation, descriptor = hold_generation(snapshot, tested.environment)
    try:
        check_held(snapshot.root, tested.environment, generation, descriptor, with_files=True)
        with tempfile.TemporaryDirectory(prefix="envman-test-") as home:
            folder = layout.generation_path(snapshot.root, generation)
            declared = snapshot.table.environment(tested.environment) or ([], {})
            caller = without_a_deployment(os.environ)
            variables = QUIET | child_environment(caller, f"{folder}/bin", *declared)
            variables |= thrown_away_variables(home, tested.name, tested.path)
            make_database(store, generation, Path(home), {**variables, **NO_BYTECODE}, processes)
            where = f"environment '{tested.environment}'"
            inside = Inside(tested.environment, where, f"{folder}/bin/python", variables, (descriptor,))
            asked: DagRunRequest = {
                "path": tested.path,
                "bundle": tested.name,
                "shared": snapshot.table.shared(tested.name),
                "dag": request.dag,
                "task": request.task,
                "conf": dict(request.conf) if request.conf is not None else None,
                "connections": _file(request.connections),
                "variables": _file(request.variables),
            }
            answer: DagRunReport = inside.ask(processes, (RUN, "dag_run"), asked, on_line=on_line)
    finally:
        os.close(descriptor)
    if answer["problem"]:
        raise UsageError(_why_not(tested, request, answer))
    return DagOutcome(
        bundle=tested.name,
        path=tested.path,
        environment=tested.environment,
        generation=generation,
        dag=request.dag,
        state=answer["state"],
        tasks=tuple(TriedTask(**task) for task in answer["tasks"]),
    )


def _why_not(tested: TestedBundle, request: DagRequest, answer: DagRunReport) -> list[Problem]:
    from envman.names import nearest

    if answer["file"]:
        remedy = "Correct it: Airflow's local filesystem backend reads it so, too."
        return [Problem(answer["file"], answer["problem"], remedy)]
    if request.task and answer["known"] and answer["problem"] == "there is no such task":
        where = f"task '{request.task}' of the Dag '{request.dag}'"
        return [Problem(where, answer["problem"], nearest(request.task, answer["known"]))]
    where = f"Dag '{request.dag}' of the bundle '{tested.name}'"
    problems = [Problem(where, answer["problem"], nearest(request.dag, answer["known"]))]
    for file, text in answer["errors"].items():
        lines = [line for line in text.splitlines() if line.strip()]
        problems.append(Problem(file, lines[-1] if lines else "can't be parsed", "Correct the file."))
    return problems


def _file(path: Path | None) -> str | None:
    if path is None:
        return None
    if not path.is_file():
        raise UsageError(Problem(str(path), "there is no such file", "Pass a .json, .yaml or .env file."))
    if path.suffix not in {".json", ".yaml", ".yml", ".env"}:
        what = "its ending says of no format that Airflow reads"
        raise UsageError(Problem(str(path), what, "Name it .json, .yaml or .env, as its content is."))
    return str(path.absolute())
