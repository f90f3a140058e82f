"""Start a shared component: check every bundle, say what runs where, install the hooks, become Airflow."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable

from envman.errors import EnvmanError, ExitCode, Problem, ResolveError, UsageError
from envman.launch.own_component import HOME_VARIABLE

PREIMPORT = "AIRFLOW__DAG_PROCESSOR__PARSING_PRE_IMPORT_MODULES"
START_METHODS = tuple(
    f"AIRFLOW__{section}__MP_START_METHOD"
    for section in ("CORE", "SCHEDULER", "TRIGGERER", "DAG_PROCESSOR", "CELERY")
)
"""A component's own section wins over [core]."""


def main(arguments: list[str]) -> int:
    """Run the `airflow` command with these arguments; returns 125 where it refuses to."""
    try:
        kind, install = _hooks(arguments)
        _prepare()
        _check_upstream(kind)
        home = os.environ.get(HOME_VARIABLE, "")
        named = bundles_at_home(home) if home else _bundle_names(arguments)
        rows = check_bundles(named, with_images=arguments[0] == "scheduler")
        _say(arguments[0], rows)
        install()
        _close_memory()
        if kind == "dag-processor":  # it needs all of them in its first second, and waits for each
            _start_fork_servers(row[0] for row in rows)
    except EnvmanError as error:
        for problem in error.problems:
            sys.stderr.write(f"envman launch: {problem}\n")
        return ExitCode.LAUNCH
    from airflow.__main__ import main as airflow_main

    airflow_main()
    return ExitCode.OK


def _hooks(arguments: list[str]) -> tuple[str, Callable[[], None]]:
    """A component's kind, and what puts the hooks into its process. Raises UsageError for an unknown one."""
    command = " ".join(arguments[:2]) if arguments[:1] == ["celery"] else " ".join(arguments[:1])
    if command == "dag-processor":
        return "dag-processor", _install_dag_processor
    if command == "triggerer":
        return "triggerer", _install_triggerer
    if command in {"scheduler", "celery worker"}:
        return "worker", _install_worker
    what = f"'airflow {command}' is no component that runs workloads of bundles below itself"
    remedy = "Launch scheduler, celery worker, dag-processor or triggerer; for all else: envman exec."
    raise UsageError(Problem("", what, remedy))


def _check_upstream(component: str) -> None:
    """Refuse an Airflow that has moved what the hooks stand on."""
    from envman.airflow.interpreters import own_airflow
    from envman.airflow.upstream import missing

    if moved := missing(component):
        what = f"Airflow {own_airflow()} has moved: {', '.join(str(one) for one in moved)}"
        remedy = "The shared components need an Airflow that envman supports; see the compatibility page."
        raise ResolveError(Problem("", what, remedy))


def _install_dag_processor() -> None:
    from envman.airflow.dag_processor import install

    install()


def _install_triggerer() -> None:
    from envman.airflow.triggerer import install

    install()


def _install_worker() -> None:
    from envman.airflow import pods, worker

    worker.install()
    pods.install()


def _prepare() -> None:
    """Set what Airflow's configuration needs, before Airflow is imported."""
    try:
        from envman.airflow.interpreters import own_airflow

        own_airflow()
    except ImportError:
        what = f"there is no Airflow in {sys.executable}"
        remedy = "Name the deployment's environment: envman launch --environment E, or --python PATH."
        raise ResolveError(Problem("", what, remedy)) from None
    os.environ[PREIMPORT] = "False"  # it would import the teams' providers into the manager
    for variable in START_METHODS:  # a child that begins anew would begin without the hooks
        os.environ[variable] = "fork"


def _start_fork_servers(bundles: Iterable[str]) -> None:
    """Have the bundles' fork servers started side by side; whatever fails is said at the first parse."""
    from envman.airflow import warm
    from envman.airflow.interpreters import of_bundle

    for bundle in bundles:
        with contextlib.suppress(EnvmanError, OSError), contextlib.closing(of_bundle(bundle)) as interpreter:
            if interpreter.warm:
                warm.Server(interpreter).start()


def _close_memory() -> None:
    """Close this process's memory, variables and descriptors to other processes of its user: to workloads."""
    import ctypes

    pr_set_dumpable = 4
    with contextlib.suppress(AttributeError):  # Linux has it
        ctypes.CDLL(None).prctl(pr_set_dumpable, 0, 0, 0, 0)


def _bundle_names(arguments: list[str]) -> list[str]:
    """The bundles that the component is told to keep to; none means all."""
    named = []
    for word, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if word in {"-B", "--bundle-name"}:
            named.append(following)
        elif word.startswith("--bundle-name="):
            named.append(word.partition("=")[2])
    return named


def bundles_at_home(home: str) -> list[str]:
    """The bundles of Airflow's configuration that have this environment."""
    from envman.airflow.interpreters import airflow_bundles, environments_of

    found = environments_of(airflow_bundles().teams)
    return [bundle for bundle, environment in found.items() if environment == home]


def check_bundles(named: Iterable[str], with_images: bool) -> list[tuple[str, ...]]:
    """Look every bundle of Airflow's configuration up: bundle, environment, interpreter, generation.

    Raises ResolveError with all bundles that have no environment, whose environment isn't built, or holds
    another Airflow than this one. A scheduler, `with_images`, does without a built environment where it has
    an image to give to the pods.
    """
    from envman.airflow.interpreters import airflow_bundles, describe, of_environment, resolve, root_folder
    from envman.launch.root import read_table

    table = read_table(root_folder())
    rows: list[tuple[str, ...]] = []
    problems: list[Problem] = []
    for bundle in list(named) or list(airflow_bundles().teams):
        try:
            environment = resolve(bundle).environment
            if with_images and (image := table.image(environment)):
                rows.append((bundle, environment, image, "image"))
                continue
            of_environment(environment).close()
            rows.append((bundle, environment, *describe(environment)))
        except EnvmanError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise ResolveError(problems)
    return rows


def _say(component: str, rows: list[tuple[str, ...]]) -> None:
    table = [("bundle", "environment", "interpreter", "generation"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    from envman.airflow.interpreters import own_airflow

    sys.stderr.write(f"envman launch: {component}, Airflow {own_airflow()}, in {sys.executable}\n")
    for row in table:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        sys.stderr.write(f"  {line.rstrip()}\n")
    sys.stderr.flush()
