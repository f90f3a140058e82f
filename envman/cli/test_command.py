"""`envman test`."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from envman.cli.check_command import show_check
from envman.cli.completion import complete_bundle
from envman.cli.lifetime import CALLERS
from envman.cli.options import (
    JsonOption,
    ProjectOption,
    RootOption,
    project_folder,
    root_folder,
    source,
    with_project,
    workspace_if_any,
)
from envman.cli.output import Reporter, pass_on
from envman.cli.progress import progress
from envman.deployment.thrown_away import without_a_deployment
from envman.errors import ExitCode, Problem, UsageError
from envman.launch.bundle_here import bundle_here, declared_folders
from envman.launch.command import airflow_bundles
from envman.launch.process import replace_process
from envman.resolver.snapshot import Snapshot
from envman.store.folder import Store
from envman.store.root import take_snapshot
from envman.system.processes import Processes
from envman.usecases.check import CheckRequest, check
from envman.usecases.test import (
    DagOutcome,
    DagRequest,
    TestedBundle,
    has_airflow,
    has_tests,
    no_pytest,
    overlay_with_pytest,
    prepared_tests,
    tested_bundle,
    try_dag,
)


def test_command(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BUNDLE] [-- ARGUMENT...]",
            help="The bundle, by default that of this folder; arguments of pytest.",
            autocompletion=complete_bundle,
        ),
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The bundle's folder. Default: its 'path', else this folder."),
    ] = None,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Only the tests: don't parse the bundle's files before.")
    ] = False,
    dag: Annotated[
        str | None, typer.Option(metavar="DAG", help="Run this Dag once, instead of the tests.")
    ] = None,
    task: Annotated[str | None, typer.Option(metavar="TASK", help="With --dag: only this task.")] = None,
    conf: Annotated[str | None, typer.Option(metavar="JSON", help="With --dag: the run's conf.")] = None,
    connections: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With --dag: Connections, as .json, .yaml or .env."),
    ] = None,
    variables: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With --dag: Variables, as .json, .yaml or .env.")
    ] = None,
    project: ProjectOption = None,
    root: RootOption = None,
    as_json: JsonOption = False,
) -> None:
    """Test a bundle in its environment: each file's import, then its own tests; or run one Dag.

    The tests run with the pytest of the environment's dev overlay, [dev] in its spec. Airflow's home and
    database are thrown away; nothing of a deployment's configuration counts. Ends as pytest does, and with 1
    where a file can't be parsed. With --dag it runs the Dag once, in the order of its tasks and without
    retries, and ends with 1 where that fails; only this bundle's Dag of that name is looked at.

    Examples: envman test · envman test bundle_a -- -k load -x · envman test --dag sales --connections c.yaml
    """
    reporter = Reporter("test", as_json)
    with reporter.errors():
        before, arguments = _split(words or [], sys.argv)
        _check_options(dag, as_json, arguments, [task, conf, connections, variables])
        store = root_folder(root, project)
        snapshot = take_snapshot(store.root, airflow_bundles)
        tested = _tested(snapshot, before, path, project)
        if dag is None:
            _run_tests(reporter, snapshot, tested, _TestOptions(store, project, arguments, no_check))
            return
        request = DagRequest(dag, task, _conf(conf), connections, variables)
        _show_dag(reporter, try_dag(snapshot, store, tested, request, Processes(), pass_on), task)


class _TestOptions:
    def __init__(self, store: Store, project: Path | None, arguments: list[str], no_check: bool) -> None:
        self.store = store
        self.project = project
        self.arguments = arguments
        self.no_check = no_check


def _split(words: list[str], line: list[str]) -> tuple[str, list[str]]:
    """The bundle, empty where none is named, and what stands behind `--`."""
    behind = len(line) - line.index("--") - 1 if "--" in line else 0
    before, arguments = words[: len(words) - behind], words[len(words) - behind :]
    if len(before) > 1:
        remedy = "Arguments of pytest stand behind '--': envman test BUNDLE -- -x"
        raise UsageError(Problem(before[1], "is a word too many", remedy))
    return (before or [""])[0], arguments


def _check_options(dag: str | None, as_json: bool, arguments: list[str], of_dags: list[Any]) -> None:
    if dag is not None and arguments:
        raise UsageError(Problem("--dag", "runs no tests", "Drop the arguments of pytest, or --dag."))
    if dag is None and any(one is not None for one in of_dags):
        what = "go with --dag"
        raise UsageError(
            Problem("--task, --conf, --connections, --variables", what, "Name the Dag: --dag DAG")
        )
    if dag is None and as_json:
        remedy = "For scripts: envman check --json; and pytest's own: envman test -- --junit-xml=FILE"
        raise UsageError(Problem("--json", "goes with --dag", remedy))


def _tested(snapshot: Snapshot, named: str, path: Path | None, project: Path | None) -> TestedBundle:
    bundle = bundle_here(with_project(project), str(path or ".")) if named in {"", "."} else named
    folder = project_folder(project)
    declared = declared_folders(str(folder)) if folder else {}
    return tested_bundle(snapshot, bundle, str(path or declared.get(bundle) or "."))


def _conf(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UsageError(Problem("--conf", f"is no JSON: {error}", "Write an object: '{}'")) from None
    if not isinstance(found, dict):
        raise UsageError(Problem("--conf", "is no JSON object", """Write one: '{"day": 1}'"""))
    return found


def _run_tests(reporter: Reporter, snapshot: Snapshot, tested: TestedBundle, options: _TestOptions) -> None:
    processes, store = Processes(), options.store
    workspace = workspace_if_any(options.project)
    if workspace is not None:
        workspace = workspace.at_root(store.root)
    with progress(reporter) as report:
        found = source(workspace, offline=False) if workspace else None
        overlay, has_pytest = overlay_with_pytest(workspace, store, tested, found, report)
    with_tests = bool(options.arguments) or has_tests(tested.path)
    if with_tests and not has_pytest:
        raise no_pytest(tested)
    if not has_airflow(store, tested):
        reporter.note(f"{tested.environment} has no Airflow: the bundle's files are not parsed")
    elif not options.no_check:
        outcome = check(store, CheckRequest(tested.name, Path(tested.path)), processes, os.environ, pass_on)
        show_check(reporter, outcome)
        if problems := outcome.problems():
            reporter.problems(problems)
            raise typer.Exit(ExitCode.FAILED)
    if not with_tests:
        reporter.note(f"{tested.path} has no tests (test_*.py)")
        return
    words, addition = prepared_tests(snapshot, tested, overlay, options.arguments, processes)
    kept = without_a_deployment(os.environ)
    os.environ.clear()
    os.environ.update(kept)
    if not Path.cwd().is_relative_to(tested.path):
        os.chdir(tested.path)
    os.umask(CALLERS.umask)
    try:
        raise typer.Exit(replace_process(snapshot, tested.environment, words, addition))
    finally:
        shutil.rmtree(addition.variables["AIRFLOW_HOME"], ignore_errors=True)


def _show_dag(reporter: Reporter, outcome: DagOutcome, only: str | None) -> None:
    problems = outcome.problems(only)
    if reporter.as_json:
        reporter.json(asdict(outcome), problems, ok=not problems)
    else:
        _show_tasks(reporter, outcome, only)
        reporter.problems(problems)
    if problems:
        raise typer.Exit(ExitCode.FAILED)


def _show_tasks(reporter: Reporter, outcome: DagOutcome, only: str | None) -> None:
    rows = [
        (
            task.task if task.index < 0 else f"{task.task}[{task.index}]",
            "-" if task.seconds is None else f"{task.seconds:.2f}",
            task.state,
        )
        for task in outcome.tasks
    ]
    reporter.table(("task", "seconds", ""), rows, right=("seconds",))
    where = f"Dag '{outcome.dag}' of {outcome.bundle}, in {outcome.environment}"
    reporter.say(f"{where}, one task" if only else f"{where}: {outcome.state}")
