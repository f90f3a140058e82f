"""From a bundle or environment to the interpreter that its workloads run in, looked up for each workload."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import sys
import zlib
from importlib.metadata import version

from envman.airflow import confine
from envman.airflow.cgroups import prepare
from envman.airflow.confine import refusal, variables_file
from envman.errors import EnvmanError, Problem, ResolveError
from envman.launch.airflow_config import read_airflow_bundles
from envman.launch.own_component import COLD_VARIABLE, DEFAULT_QUEUE
from envman.launch.process import HELD_DESCRIPTOR, hold_current_generation
from envman.launch.root import current_generation, find_root, read_table
from envman.resolver.inherited import inherited, names_a_team
from envman.resolver.resolve import Resolution, resolve_bundle, resolve_environment, team_of
from envman.resolver.variables import child_environment
from envman.store import layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from envman.resolver.resolve import AirflowBundles

CORE = "apache-airflow-core"
VARIABLES_DESCRIPTOR = HELD_DESCRIPTOR + 4
"""Where `confine.py` reads the variables; the highest number that a child gets a descriptor at."""

NO_DATABASE = {
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite://",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": "sqlite+aiosqlite://",
}
"""Airflow can't be imported without a database; this one is in memory and empty."""


class Interpreter:
    """An environment's interpreter, ready to start: its variables, and a lock that keeps its files there.

    `held` is the descriptor of that lock: the child inherits it, this process closes its own. `warm` says
    whether workloads are forked by a server that has imported `preload`, too. `added` are variables that an
    interpreter needs at its start, and a forked workload does not have. `user` and `limits` confine its
    processes.
    """

    __slots__ = (
        *("added", "environment", "generation", "held", "limits"),
        *("preload", "python", "root", "user", "variables", "warm"),
    )

    def __init__(self, root: str, environment: str, teams: Collection[str]) -> None:
        table = read_table(root)
        declared = table.environment(environment)
        if declared is None:
            remedy = "Publish envman.toml anew: envman build"
            raise ResolveError(Problem(f"environment '{environment}'", "is not published", remedy))
        self.root = root
        self.environment = environment
        self.user = table.user(environment)
        self.limits = table.limits(environment)
        if self.user and (why := refusal(*self.user)):
            what, _, remedy = why.partition("; ")
            raise ResolveError(Problem(f"environment '{environment}': user", what, remedy))
        self.warm = COLD_VARIABLE not in os.environ and table.is_warm(environment)
        self.preload = table.preload(environment)
        self.generation, self.held = hold_current_generation(root, environment)
        try:
            check_airflow(root, environment, self.generation)
        except EnvmanError:
            self.close()
            raise
        bin_folder = f"{layout.generation_path(root, self.generation)}/bin"
        self.python = f"{bin_folder}/python"
        caller = inherited(os.environ, teams, table.passed(environment))
        self.variables = child_environment(caller, bin_folder, *declared) | NO_DATABASE
        # The order of a set may reach a serialized Dag (some operators' template fields do). Forks of one
        # manager share a hash seed, so a Dag stays the same from parse to parse; each interpreter would draw
        # another, and each parse make a new version. This one is the generation's: a restart keeps it.
        seed = {"PYTHONHASHSEED": str(zlib.crc32(self.generation.encode()))}
        self.added = {} if "PYTHONHASHSEED" in self.variables else seed

    def spawn(self, arguments: list[str], places: Iterable[tuple[int, int]], seeded: bool) -> int:
        """Start the interpreter with these arguments; `places` are descriptors and the numbers they get.

        `seeded` has the order of its sets be the generation's. Returns the process ID; raises OSError, and
        ConfinementError where its limits can't be set. It is posix_spawn because that neither copies this
        process's page tables nor runs Python before the exec.
        """
        variables = self.variables | self.added if seeded else self.variables
        command = [self.python, *arguments]
        copies = [(_out_of_the_way(source), number) for source, number in places]
        copies.append((_out_of_the_way(self.held), HELD_DESCRIPTOR))
        try:
            if self.is_confined():
                copies.append((_above(variables_file(variables)), VARIABLES_DESCRIPTOR))
                command = [*self._confined(), *command]
                variables = {}
            return os.posix_spawn(
                command[0],
                command,
                variables,
                file_actions=[(os.POSIX_SPAWN_DUP2, source, number) for source, number in copies],
            )
        finally:
            for source, _ in copies:
                os.close(source)

    def is_confined(self) -> bool:
        """Whether its processes have a user or limits of their own."""
        return bool(self.user or self.limits)

    def _confined(self) -> list[str]:
        """The words that put a command into this environment's cgroups and give it its user."""
        held = prepare(self.environment, self.limits, own_user=self.user is not None)
        return confine.command(
            sys.executable, self.environment, self.user, held.procs, held.rlimits, VARIABLES_DESCRIPTOR
        )

    def close(self) -> None:
        """Give this process's hold on the generation up; the child keeps its own."""
        os.close(self.held)


def _above(descriptor: int) -> int:
    """The descriptor moved above all numbers that a child gets."""
    try:
        return _out_of_the_way(descriptor)
    finally:
        os.close(descriptor)


def _out_of_the_way(descriptor: int) -> int:
    """A copy above all numbers that a child gets, so that placing one can't overwrite another."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, VARIABLES_DESCRIPTOR + 1)


def root_folder() -> str:
    """The root folder of the environments; `envman launch` sets it."""
    return find_root(os.environ, None, ".")


def airflow_bundles() -> AirflowBundles:
    """The bundles of Airflow's configuration as it is now."""
    return read_airflow_bundles(os.environ)


def resolve(bundle: str) -> Resolution:
    """The environment of a bundle; raises ResolveError where there is none."""
    return resolve_bundle(read_table(root_folder()), bundle, airflow_bundles)


def environments_of(bundles: Iterable[str]) -> dict[str, str]:
    """The environments of bundles, from one look at what is published; a bundle that has none is missing."""
    table, configured = read_table(root_folder()), airflow_bundles()
    found = {}
    for bundle in bundles:
        with contextlib.suppress(ResolveError):
            found[bundle] = resolve_bundle(table, bundle, lambda: configured).environment
    return found


def known_bundles() -> set[str]:
    """The bundles that are known, to envman.toml or to Airflow."""
    return {*read_table(root_folder()).names("bundle"), *airflow_bundles().teams}


def of_bundle(bundle: str) -> Interpreter:
    """The interpreter of a bundle; raises an EnvmanError where it has none that can run its workloads."""
    queue = _queue_of(bundle)  # first: whatever fails once the interpreter is held would leave its lock open
    interpreter = Interpreter(root_folder(), resolve(bundle).environment, _teams_of(bundle))
    if queue:
        interpreter.variables[DEFAULT_QUEUE] = queue
    return interpreter


def _queue_of(bundle: str) -> str | None:
    """The queue of a bundle; Airflow is asked for the team only where a team has a queue."""
    table = read_table(root_folder())
    own = table.queue(bundle, "")
    if own or not table.names("team-queue"):
        return own
    return table.queue(bundle, team_of(table, bundle, airflow_bundles()))


def of_environment(environment: str) -> Interpreter:
    """The interpreter of an environment; raises as `of_bundle` does."""
    resolve_environment(read_table(root_folder()), environment)
    return Interpreter(root_folder(), environment, _teams_in(environment))


def _teams_of(bundle: str) -> list[str]:
    """The bundle's team, where there are variables that only teams see."""
    if not any(names_a_team(name) for name in os.environ):
        return []
    return [team_of(read_table(root_folder()), bundle, airflow_bundles())]


def _teams_in(environment: str) -> list[str]:
    """The teams of the bundles that have this environment, as `_teams_of`."""
    if not any(names_a_team(name) for name in os.environ):
        return []
    table, configured = read_table(root_folder()), airflow_bundles()
    mine = [bundle for bundle, found in environments_of(known_bundles()).items() if found == environment]
    return sorted({team_of(table, bundle, configured) for bundle in mine})


def check_airflow(root: str, environment: str, generation: str) -> None:
    """Refuse an environment whose Airflow is not this component's: no two versions promise to understand
    each other. Raises ResolveError.
    """
    theirs = packages(layout.manifest_path(root, generation)).get(CORE)
    if theirs == own_airflow():
        return
    where = f"environment '{environment}'"
    if theirs is None:
        what = f"has no Airflow ({CORE}), so it can't parse or run Dags"
        raise ResolveError(Problem(where, what, "Take 'airflow = false' out of its spec, lock and build it."))
    what = f"has Airflow {theirs}, this component is Airflow {own_airflow()}"
    remedy = "Set airflow-version in envman.toml to the deployment's version; then run: envman lock, build"
    raise ResolveError(Problem(where, what, remedy))


@functools.cache
def own_airflow() -> str:
    """The version of the Airflow that this process runs."""
    return version(CORE)


@functools.cache
def packages(manifest: str) -> dict[str, str]:
    """A generation's packages; a generation never changes, so each is read once."""
    return dict(_manifest(manifest)["packages"])


def _manifest(path: str) -> dict[str, dict[str, str]]:
    with open(path, encoding="utf-8") as stream:
        content: dict[str, dict[str, str]] = json.load(stream)
    return content


def describe(environment: str) -> tuple[str, str]:
    """An environment's interpreter in words, and its current generation."""
    root = root_folder()
    generation = current_generation(root, environment)
    interpreter = _manifest(layout.manifest_path(root, generation))["interpreter"]
    return f"{interpreter['implementation']} {interpreter['version']}", generation
