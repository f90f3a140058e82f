"""What an interpreter is for, and which variables its workloads get of a component's."""

from __future__ import annotations

from envman.launch.narrowed_options import narrowed_options
from envman.launch.own_component import DEFAULT_QUEUE
from envman.launch.process import as_signed
from envman.resolver.inherited import (
    NO_DATABASE,
    SWITCHES,
    inherited,
    is_the_components,
    names_a_team,
    switched_off,
)
from envman.resolver.variables import child_environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from envman.resolver.snapshot import Snapshot

A_SHELL = {"SHLVL": "1"}
"""Without it bash, whose standard input is a socket here, takes itself for a remote shell's first command and
reads ~/.bashrc, which may put other interpreters in front of the environment's."""


class Purpose:
    """The environment, the teams whose variables its workloads get, the queue of tasks that name none (empty:
    Airflow's default). A value: two of the same content are equal.
    """

    __slots__ = ("environment", "queue", "teams")

    def __init__(self, environment: str, teams: tuple[str, ...] = (), queue: str = "") -> None:
        self.environment = environment
        self.teams = teams
        self.queue = queue

    def __eq__(self, other: object) -> bool:
        """Whether the other is for the same."""
        return isinstance(other, Purpose) and self._content() == other._content()

    def __hash__(self) -> int:
        """As equality has it."""
        return hash(self._content())

    def _content(self) -> tuple[object, ...]:
        return self.environment, self.teams, self.queue


def purpose_of_bundle(snapshot: Snapshot, bundle: str, environ: Mapping[str, str]) -> Purpose:
    """The purpose of a bundle's interpreter; raises ResolveError for a bundle without an environment."""
    environment = snapshot.resolve(bundle).environment
    teams = (snapshot.team(bundle),) if _has_variables_of_teams(environ) else ()
    return Purpose(environment, teams, snapshot.queue(bundle))


def purpose_of_environment(snapshot: Snapshot, environment: str, environ: Mapping[str, str]) -> Purpose:
    """The purpose of an interpreter for all bundles of an environment; raises ResolveError for an unknown
    one.
    """
    environment = snapshot.resolve_environment(environment).environment
    if not _has_variables_of_teams(environ):
        return Purpose(environment)
    bundles = snapshot.answers().by_environment().get(environment, [])
    return Purpose(environment, tuple(sorted({snapshot.team(bundle) for bundle in bundles})))


def _has_variables_of_teams(environ: Mapping[str, str]) -> bool:
    return any(names_a_team(name) for name in environ)


def variables_for(
    snapshot: Snapshot, purpose: Purpose, bin_folder: str, environ: Mapping[str, str]
) -> dict[str, str]:
    """The variables of workloads in a generation, without their credentials; `environ` are the component's.

    Raises SpecError where Airflow's configuration can't be read.
    """
    table, environment = snapshot.table, purpose.environment
    keep_out, settings = table.environment(environment) or ([], {})
    narrowed = narrowed_options(snapshot, environment, environ)
    caller = narrowed | inherited(environ, purpose.teams, table.passed(environment))
    variables = (
        child_environment(caller, bin_folder, keep_out, settings) | NO_DATABASE | A_SHELL | as_signed()
    )
    handed = {credential.variable for credential in table.credentials(environment)}
    off = switched_off(environ, {*variables, *handed})
    variables |= {name: value for name, value in off.items() if name not in settings}
    if purpose.queue:
        variables[DEFAULT_QUEUE] = purpose.queue
    # a credential comes later, and never is the component's value there in its place
    return {name: value for name, value in variables.items() if name not in handed}


def kept_back(variables: Mapping[str, str], environ: Mapping[str, str]) -> list[str]:
    """The component's variables that workloads with these do not get, but for its own secrets."""
    left = (
        name
        for name, value in environ.items()
        if name not in variables or (name in SWITCHES and variables[name] != value)
    )
    # `_` is of the shell that has started the component
    return [name for name in left if name != "_" and not is_the_components(name)]
