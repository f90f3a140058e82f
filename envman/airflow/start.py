"""Start a shared component: check every bundle, say what runs where, install the hooks, become Airflow."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from importlib.machinery import all_suffixes
from itertools import islice
from threading import RLock
from types import SimpleNamespace

from envman.airflow import heartbeats, second_start, started_programs
from envman.airflow.built_airflow import built_interpreter, own_airflow
from envman.airflow.bundle_interpreter import acquire, look
from envman.airflow.own_variables import operators_variables, set_for_component
from envman.errors import EnvmanError, ExitCode, Problem, ResolveError, UsageError
from envman.inside import local_settings
from envman.launch.airflow_configuration import (
    LOCAL_SETTINGS,
    AirflowConfiguration,
    remedy_of_local_settings,
)
from envman.launch.asked_variables import asked_variables
from envman.launch.closed_process import may_read_anything
from envman.launch.own_component import HOME_VARIABLE
from envman.launch.process import tell
from envman.launch.purpose import Purpose, kept_back, purpose_of_bundle
from envman.resolver.snapshot import Snapshot
from envman.store import layout

API_RETRIES = "AIRFLOW__WORKERS__EXECUTION_API_RETRIES"
"""Of components whose API is in their own process: no network fails there, and a request that can't be
answered would have them sleep for minutes.
"""

OPEN_START = (
    "other processes of this user may have read this component's variables in /proc while its Python "
    "started. Let the kernel execute from memory (sysctl vm.memfd_noexec=0, no policy against it), have "
    "fs.suid_dumpable be 0, and let --python name an interpreter, no script; or give each environment a user "
    "of its own."
)

PREIMPORT = "AIRFLOW__DAG_PROCESSOR__PARSING_PRE_IMPORT_MODULES"
WITHOUT_BUNDLES = {
    "api-server": "it runs no bundle's code",
    "standalone": "its components say what runs where",
}
"""Components that run no workload in their own process, and what is said of each."""

START_METHODS = tuple(
    f"AIRFLOW__{section}__MP_START_METHOD"
    for section in ("CORE", "SCHEDULER", "TRIGGERER", "DAG_PROCESSOR", "CELERY")
)
"""A component's own section wins over [core]."""


def main(arguments: list[str], was_closed: bool) -> int:
    """Run the `airflow` command with these arguments; returns 125 where it refuses to.

    `was_closed` says whether this process was closed to its neighbours from its start on.
    """
    if not was_closed and not may_read_anything():
        tell(f"envman launch: warning: {OPEN_START}\n")
    try:
        component = _component(arguments)
        if component in WITHOUT_BUNDLES:
            _start_without_bundles(component)
        else:
            _start(component, arguments)
    except EnvmanError as error:
        for problem in error.problems:
            tell(f"envman launch: {problem}\n")
        return ExitCode.LAUNCH
    from airflow.__main__ import main as airflow_main

    airflow_main()
    return ExitCode.OK


def _component(arguments: list[str]) -> str:
    """A component, by Airflow's words for it. Raises UsageError for an unknown one."""
    words = 2 if arguments[0] in {"celery", "edge"} else 1
    component = " ".join(arguments[:words])
    if component in KINDS or component in WITHOUT_BUNDLES:
        return component
    what = f"'airflow {component}' is none of the components that run workloads of bundles below themselves"
    raise UsageError(Problem("", what, "Run: envman launch --help; for all else there is envman exec."))


def _start_without_bundles(component: str) -> None:
    """Get a component ready that runs no workload in its own process."""
    if component == "api-server":
        started_programs.install(but_own_interpreter=True)
    _prepare()
    _see_to_local_settings()
    if component == "standalone":
        _check_upstream(component, "")
        from envman.airflow.standalone import install

        install()
    tell(f"envman launch: {component}, {_airflow()}: {WITHOUT_BUNDLES[component]}\n")


def _start(component: str, arguments: list[str]) -> None:
    """Get a component ready that does: check every bundle, say what runs where, install the hooks."""
    home = os.environ.get(HOME_VARIABLE, "")
    if not home:  # there tasks are forks of this process, and start programs as in stock Airflow
        started_programs.install()
    second_start.install()
    _prepare()
    snapshot = look()
    named = bundles_at_home(snapshot, home) if home else _bundle_names(arguments)
    rows = check_bundles(snapshot, named, with_images=component == "scheduler")
    if component == "dag-processor" and not has_local_settings():  # they import Airflow while this does
        _start_fork_servers(snapshot, (row[0] for row in rows))
    _see_to_local_settings()
    unguarded = _check_upstream(KINDS[component], home)
    name = _NAMES.get(component, component)
    _say(name, rows)
    if unguarded:
        tell(f"envman launch: {unguarded}\n")
    else:
        _warn_of_other_languages(home)
        INSTALL[component]()
        heartbeats.install(name)
    if component == "dag-processor":
        _start_fork_servers(snapshot, (row[0] for row in rows))
        _warn_of_variables(snapshot, {row[0]: row[1] for row in rows})


def has_local_settings() -> bool:
    """Whether there are local settings, which may set variables that decide which fork servers are needed."""
    folders = (*AirflowConfiguration(os.environ).module_folders(), *sys.path)
    names = [f"{LOCAL_SETTINGS}{ending}" for ending in ("", *all_suffixes())]
    return any(os.path.exists(os.path.join(folder, name)) for folder in folders for name in names)


def _see_to_local_settings() -> None:
    """Refuse local settings that can't be imported here: no name of Airflow's would be found then."""
    if problem := local_settings.failure():
        remedy = remedy_of_local_settings(f"the environment of {sys.prefix}")
        raise ResolveError(Problem("", problem, remedy))


def _check_upstream(component: str, home: str) -> str:
    """Refuse an Airflow that has moved what the hooks stand on.

    A worker of one's own, at home in an environment, does without them: what is said of it then.
    """
    from envman.airflow.upstream import missing

    moved = ", ".join(str(one) for one in missing(component))
    if moved and not home:
        what = f"Airflow {own_airflow()} has moved: {moved}"
        remedy = "The shared components need an Airflow that envman supports; see the compatibility page."
        raise ResolveError(Problem("", what, remedy))
    return moved and (
        f"warning: Airflow {own_airflow()} has moved: {moved}. This is the stock worker: a task of another "
        f"environment's bundle that comes into its queue is not refused, but runs in '{home}'."
    )


def _warn_of_other_languages(home: str) -> None:
    """Say what of Airflow's configuration a shared component will refuse. Raises ResolveError."""
    from envman.airflow.other_languages import warnings

    for words in [] if home else warnings():
        tell(f"envman launch: warning: {words}\n")


def _install_dag_processor() -> None:
    set_for_component(API_RETRIES, "1")
    from envman.airflow.dag_processor import install

    install()


def _install_triggerer() -> None:
    set_for_component(API_RETRIES, "1")
    from envman.airflow.triggerer import install

    install()


def _install_scheduler() -> None:
    from envman.airflow import local_executor

    _install_worker()
    local_executor.install()


def _install_edge_worker() -> None:
    from envman.airflow.edge_worker import install

    _install_worker()
    install()


def _install_worker() -> None:
    from envman.airflow import pods, worker

    worker.install()
    pods.install()


KINDS = {
    "dag-processor": "dag-processor",
    "triggerer": "triggerer",
    "scheduler": "worker",
    "celery worker": "worker",
    "edge worker": "worker",
}
"""What the hooks of a component stand on, by the names of `upstream.py`."""

_NAMES = {"celery worker": "worker", "edge worker": "edge-worker"}
"""Components that `envman launch` calls otherwise."""

INSTALL: Mapping[str, Callable[[], None]] = {
    "dag-processor": _install_dag_processor,
    "triggerer": _install_triggerer,
    "scheduler": _install_scheduler,
    "celery worker": _install_worker,
    "edge worker": _install_edge_worker,
}
"""What puts the hooks into a component's process."""


def _prepare() -> None:
    """Set what Airflow's configuration needs, before Airflow is imported."""
    try:
        own_airflow()
    except ImportError:
        what = f"there is no Airflow in {sys.executable}"
        remedy = "Name the deployment's environment: envman launch --environment E, or --python PATH."
        raise ResolveError(Problem("", what, remedy)) from None
    let_signals_log()
    set_for_component(PREIMPORT, "False")  # it would import the teams' providers into the manager
    for variable in START_METHODS:  # a child that begins anew would begin without the hooks
        set_for_component(variable, "fork")
    sys.argv[0] = f"{sys.prefix}/bin/airflow"  # what it is to those who look, its workloads among them


def let_signals_log() -> None:
    """Let the handler of a signal log while its thread is just logging.

    Airflow's do, and structlog's locks have such a thread wait for itself: a component that is told to end at
    that moment never would.
    """
    from structlog import _output

    _output.threading = SimpleNamespace(Lock=RLock)


def _start_fork_servers(snapshot: Snapshot, bundles: Iterable[str]) -> None:
    """Have the first bundles' fork servers started that don't run; whatever fails is said at the first parse.

    Where there is no airflow.cfg Airflow is about to write one, and servers that have read it are others.
    """
    from envman.airflow import server_client
    from envman.airflow.server_starts import starts_at_once

    if not os.path.exists(AirflowConfiguration(os.environ).path):
        return
    purposes = (purpose_of_bundle(snapshot, bundle, os.environ) for bundle in bundles)
    for purpose in islice(dict.fromkeys(purposes), starts_at_once()):
        with (
            contextlib.suppress(EnvmanError, OSError),
            contextlib.closing(acquire(snapshot, purpose)) as interpreter,
        ):
            if interpreter.runtime.warm:
                server_client.ServerClient(interpreter).start()


def _warn_of_variables(snapshot: Snapshot, environments: Mapping[str, str]) -> None:
    """Name what bundles' files read of this component's variables, and their workloads don't get."""
    folders = AirflowConfiguration(os.environ).local_folders()
    names: dict[str, list[str]] = {}
    for bundle, environment in environments.items():
        if bundle not in folders:
            continue
        if environment not in names:
            names[environment] = _kept_back(snapshot, environment)
        if asked := asked_variables(folders[bundle], names[environment]):
            named = ", ".join(f"{name} ({file})" for name, file in asked.items())
            where = f"bundle '{bundle}'"
            what = f"its files name variables that its workloads do not get: {named}"
            spec = f"the spec of '{environment}'"
            remedy = f"To hand them on, list them in {spec}: [variables] pass = [...]; keep-out wins over it."
            tell(f"envman launch: {Problem(where, what, remedy)}\n")


def _kept_back(snapshot: Snapshot, environment: str) -> list[str]:
    with contextlib.closing(acquire(snapshot, Purpose(environment))) as interpreter:
        return kept_back(interpreter.runtime.variables, operators_variables())


def _bundle_names(arguments: list[str]) -> list[str]:
    """The bundles that the component is told to keep to; none means all."""
    named = []
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if word in {"-B", "--bundle-name"}:
            named.append(following)
        elif word.startswith("--bundle-name="):
            named.append(word.partition("=")[2])
    return named


def bundles_at_home(snapshot: Snapshot, home: str) -> list[str]:
    """The bundles of Airflow's configuration that have this environment."""
    return snapshot.answers_for(snapshot.airflow().teams).by_environment().get(home, [])


def check_bundles(
    snapshot: Snapshot, named: Collection[str], with_images: bool
) -> list[tuple[str, str, str, str]]:
    """Look every bundle of Airflow's configuration up: bundle, environment, interpreter, generation.

    `named` are those to look up instead. Raises ResolveError with all bundles that have no environment, whose
    environment isn't built, or holds another Airflow than this one. A scheduler, `with_images`, does without
    a built environment where it has an image to give to the pods.
    """
    bundles = named or snapshot.airflow().teams
    answers = snapshot.answers_for(bundles)
    problems = {bundle: error.problems for bundle, error in answers.refusals.items()}
    found: dict[str, tuple[str, str]] = {}
    for environment, users in answers.by_environment().items():
        try:
            found[environment] = _check_environment(snapshot, environment, with_images)
        except EnvmanError as error:
            problems[users[0]] = error.problems
    if problems:
        listed = (problem for bundle in bundles for problem in problems.get(bundle, ()))
        raise ResolveError(dict.fromkeys(listed))
    homes = answers.environments
    return [(bundle, environment, *found[environment]) for bundle, environment in homes.items()]


def _check_environment(snapshot: Snapshot, environment: str, with_images: bool) -> tuple[str, str]:
    """An environment's interpreter and generation, in words; raises an EnvmanError where it can't run any."""
    if with_images and (image := snapshot.table.image(environment)):
        return image, "image"
    with contextlib.closing(acquire(snapshot, Purpose(environment))) as interpreter:
        runtime = interpreter.runtime
        manifest = layout.manifest_path(runtime.root, runtime.generation)
        return built_interpreter(manifest).words, runtime.generation


def _say(component: str, rows: Sequence[tuple[str, ...]]) -> None:
    table = [("bundle", "environment", "interpreter", "generation"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    tell(f"envman launch: {component}, {_airflow()}\n")
    for row in table:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        tell(f"  {line.rstrip()}\n")


def _airflow() -> str:
    return f"Airflow {own_airflow()}, in {sys.executable}"
