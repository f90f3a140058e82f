"""`envman container-entrypoint`: the entrypoint of an image that holds several environments.

Executors that start a container for each workload (Kubernetes, ECS, Batch, Lambda) all run
`python -m airflow.sdk.execution_time.execute_workload` in it, with the workload as JSON. The workload names
its bundle; the process becomes the same command in the bundle's environment. Pod templates, as that of the
official Helm chart, pass the components' secrets to every pod: no workload gets them.
"""

from __future__ import annotations

import os

from envman.errors import EnvmanError, ExitCode, Problem, ResolveError, UsageError
from envman.inside.protocol import MODULE_WITH_SHARED, RUN, SHARED_OPTION
from envman.launch.command import airflow_bundles
from envman.launch.process import Addition, replace_process, show_help, tell
from envman.resolver.inherited import NO_DATABASE, is_of, is_the_components, names_a_team
from envman.store.root import find_root, take_snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from envman.resolver.table import Table

MODULE = "airflow.sdk.execution_time.execute_workload"
HELP = f"""Usage: envman container-entrypoint python -m {MODULE} (--json-string JSON | --json-path FILE)
       envman container-entrypoint COMMAND [ARG ...]

The entrypoint of an image of environments: becomes Airflow's command in the workload's environment.

It takes the arguments that Airflow's executors give to their containers (Kubernetes, ECS, Batch, Lambda),
finds the bundle in the workload, and replaces this process by the same command in that bundle's environment.
Any other command runs in the environment of the shared components (airflow-environment), or in the only one;
where there is neither, it is refused.

Options:
  --help            show this text

Exit codes: the workload's own; 125 envman could not start it, 126, 127 as a shell has them.

Example, in a Containerfile:
  ENV ENVMAN_ROOT=/venv
  ENTRYPOINT ["/opt/envman/bin/envman", "container-entrypoint"]
"""


def main(arguments: list[str]) -> int:
    """Run `envman container-entrypoint`; returns only where the workload could not be started."""
    if not arguments or arguments[0] in {"--help", "-h"}:
        return show_help(HELP, bool(arguments))
    try:
        snapshot = take_snapshot(find_root(os.environ, None, "."), airflow_bundles)
        if not is_workload(arguments):
            addition = Addition("container-entrypoint", {})
            return replace_process(snapshot, own_environment(snapshot.table), arguments, addition)
        bundle = bundle_of(workload_text(arguments))
        environment = snapshot.resolve(bundle).environment
        forget_secrets(os.environ, lambda: snapshot.team(bundle))
        # the environments need no driver for the components' database
        addition = Addition("container-entrypoint", NO_DATABASE)
        words = ["python", *arguments[1:]]
        if shared := snapshot.table.shared(bundle):
            folders = [f"{SHARED_OPTION}{place}" for place in shared]
            words = ["python", RUN, MODULE_WITH_SHARED, *folders, *arguments[2:]]
        return replace_process(snapshot, environment, words, addition)
    except EnvmanError as error:
        for problem in error.problems:
            tell(f"envman container-entrypoint: {problem}\n")
        return ExitCode.LAUNCH


def forget_secrets(environ: MutableMapping[str, str], team: Callable[[], str]) -> None:
    """Remove the variables that the workload of a bundle never gets: the database's address and such, and
    those of other teams. `team` is asked only where there are variables of any.
    """
    teams = (team(),) if any(names_a_team(name) for name in environ) else ()
    for name in [name for name in environ if is_the_components(name) or not is_of(name, teams)]:
        del environ[name]


def is_workload(arguments: list[str]) -> bool:
    """Whether a command is to run a workload, in however unusual a way."""
    return any(MODULE in word for word in arguments)


def own_environment(table: Table) -> str:
    """The environment of commands that are no workloads; raises ResolveError where there is none."""
    if components := table.components():
        return components
    names = table.names("environment")
    if len(names) == 1:
        return names[0]
    what = "the command runs no workload, and there are several environments"
    remedy = "Say which: envman exec --bundle B -- COMMAND; or declare an airflow-environment in envman.toml."
    raise ResolveError(Problem("", what, remedy))


def workload_text(arguments: list[str]) -> str:
    """The workload that Airflow's arguments name; raises UsageError for others."""
    program = arguments[0].rpartition("/")[2]
    if len(arguments) != 5 or arguments[1:3] != ["-m", MODULE] or program not in {"python", "python3"}:
        what = f"a workload's command is: python -m {MODULE}, an option and the workload"
        raise UsageError(Problem("", what, "Pass them as Airflow does."))
    option, value = arguments[3:]
    if option == "--json-string":
        return value
    if option != "--json-path":
        what = "the workload is given by neither of Airflow's options"
        raise UsageError(Problem("", what, "It is --json-string or --json-path."))
    if not {'"', "{", "["}.isdisjoint(value):  # an error about such a path would show the token in it
        what = "--json-path is given a workload"
        raise UsageError(Problem("", what, "Pass a file's path, or use --json-string."))
    try:
        with open(value, encoding="utf-8") as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            Problem(value, f"the workload can't be read: {error}", "Look at the container's volumes.")
        ) from None


def bundle_of(workload: str) -> str:
    """The bundle of a workload in Airflow's JSON; raises ResolveError. No error shows its token."""
    import json

    remedy = "Airflow 3 names the bundle in bundle_info.name; look at the version of the executor's provider."
    try:
        bundle = json.loads(workload)["bundle_info"]["name"]
    except (ValueError, KeyError, TypeError, RecursionError):
        bundle = None
    if not isinstance(bundle, str) or not bundle:
        raise ResolveError(Problem("the workload", "names no bundle", remedy))
    return bundle
